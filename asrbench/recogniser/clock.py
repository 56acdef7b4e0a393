"""The clock of a model: from frames of its output to times in the audio."""

from dataclasses import dataclass

from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.recogniser.recogniser import Recogniser


@dataclass(frozen=True)
class Clock:
    """The times of the frames of a model's output, in milliseconds of audio."""

    frame_ms: float
    """The time from the middle of one frame to the middle of the next."""
    first_ms: float
    """The middle of the first frame."""

    @classmethod
    def of(cls, recogniser: Recogniser) -> "Clock":
        """Returns the clock from hop, window and the stride of the encoder."""
        features, encoder = recogniser.features, recogniser.model.encoder
        ms = 1000 / SAMPLE_RATE_HZ
        first = encoder.first_frame * features.hop + features.window / 2
        return cls(encoder.stride * features.hop * ms, first * ms)

    def edge(self, frame: float) -> float:
        """Returns the time at which the frame of that number begins and the one before it ends."""
        return max(0.0, self.first_ms + (frame - 0.5) * self.frame_ms)
