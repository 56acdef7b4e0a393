"""Utterance lengths like those of KsponSpeech, whose audio may not be redistributed.

Its published figures are: 965.2 h in 620,000 training utterances, 5.60 s on average; means of
3.17 s and 4.56 s in the two evaluation sets; and 30.38 s for the longest utterance. Lengths are
drawn from log-normal distributions with these means, and lengths out of range are drawn again. The
width of the distribution was not published, but two figures bound it. 30.38 s as the longest of
620,000 draws implies a standard deviation of the logarithm of 0.37. The 16.8 % of the clean
evaluation set below 5 syllables, at a mean of 16.0, imply 0.90. So the training set is drawn with
both values and with one between them.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asrbench.data.waveform import SAMPLE_RATE_HZ

SHORTEST_S, LONGEST_S = 0.3, 30.38


class Lengths(NamedTuple):
    """A log-normal distribution of utterance lengths."""

    name: str
    utterances: int
    mean_s: float
    """The mean in seconds, before lengths out of range are drawn again."""
    deviation: float
    """The standard deviation of the logarithm."""

    def samples(self, seed: int) -> npt.NDArray[np.int64]:
        """Returns the length of each utterance, in samples at 16 kHz."""
        generator = np.random.default_rng(seed)
        location = np.log(self.mean_s) - self.deviation**2 / 2
        seconds = generator.lognormal(location, self.deviation, self.utterances)
        while (bad := (seconds < SHORTEST_S) | (seconds > LONGEST_S)).any():
            seconds[bad] = generator.lognormal(location, self.deviation, int(bad.sum()))
        return np.asarray(seconds * SAMPLE_RATE_HZ, dtype=np.int64)


TRAIN = Lengths("like KsponSpeech train, 0.65", 620_000, 5.60, 0.65)
DRAWN = (
    TRAIN,
    Lengths("like KsponSpeech train, 0.37", 620_000, 5.60, 0.37),
    Lengths("like KsponSpeech train, 0.90", 620_000, 5.60, 0.90),
    Lengths("like KsponSpeech eval_clean, 0.65", 3_000, 3.17, 0.65),
    Lengths("like KsponSpeech eval_other, 0.65", 3_000, 4.56, 0.65),
)
