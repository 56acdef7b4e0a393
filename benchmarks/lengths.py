"""Utterance lengths like those of KsponSpeech, whose audio cannot be given away.

Known of it: 965.2 h in 620,000 training utterances, 5.60 s each; means of 3.17 s and 4.56 s in the
two evaluation sets; a longest utterance of 30.38 s. Lengths are drawn from log-normals of these
means, and what is longer is drawn again. How wide the distribution is was not published. Two
bounds: 30.38 s as the longest of 620,000 draws asks for a standard deviation of the logarithm of
0.37; 16.8 % of the clean evaluation set below 5 syllables, at a mean of 16.0, for 0.90. So the
training set is drawn with both and with a value between.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asrbench.data.waveform import SAMPLE_RATE_HZ

SHORTEST_S, LONGEST_S = 0.3, 30.38


class Lengths(NamedTuple):
    name: str
    utterances: int
    mean_s: float
    """Before what is too long or too short is drawn again."""
    deviation: float
    """Standard deviation of the logarithm."""

    def samples(self, seed: int) -> npt.NDArray[np.int64]:
        """The length of each utterance, in samples at 16 kHz."""
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
