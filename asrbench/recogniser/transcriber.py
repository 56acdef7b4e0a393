"""The transcriber of waveforms in memory, which `asrbench.load` returns."""

import json
from pathlib import Path

import numpy.typing as npt

from asrbench.base.errors import UserError
from asrbench.data.audio import from_array
from asrbench.experiment.run_folder import Run
from asrbench.recogniser.decoder import Decoder
from asrbench.recogniser.loader import make_batch
from asrbench.recogniser.loading import load_recogniser
from asrbench.recogniser.recogniser import Recogniser


class Transcriber:
    """A trained recogniser that turns waveforms into text."""

    def __init__(self, run: Run, recogniser: Recogniser) -> None:
        self.run, self.recogniser = run, recogniser

    @classmethod
    def of_run(
        cls,
        run: str | Path,
        device: str = "auto",
        which: str | None = None,
        *,
        trust_plugins: bool = False,
    ) -> "Transcriber":
        """Returns the transcriber of a run folder, from its checkpoint `which`.

        The checkpoints are `best`, `last` and, where the spec asks for it, `average`; without
        `which` it is the one that `train.weights` chooses. Raises `UserError` where `run` holds no
        run or several, and for plug-ins that may not run.
        """
        found = Run.find([Path(run)])
        if len(found) > 1:
            raise UserError(
                f"{run}: found {len(found)} runs, allowed: one; the first is {found[0]}"
            )
        (only,) = found
        return cls(only, load_recogniser(only, device, which, trust_plugins=trust_plugins))

    @property
    def searches(self) -> tuple[str, ...]:
        """The names of the searches that `transcribe` can use."""
        return self.recogniser.searches

    def transcribe(
        self,
        audio: npt.ArrayLike,
        sample_rate: int,
        search: str | None = None,
        **settings: str | float,
    ) -> str:
        """Returns the text of one waveform.

        `audio` has one dimension: int16 samples, or floats between -1 and 1. `sample_rate` is in
        Hz; another rate than 16 kHz is resampled. `search` is one of `searches`; without it the
        search of the spec or else of the dev pass in training is used. `settings` are keys of
        `decode` in a spec, as `beam=20, lm="lm.arpa"`. Raises `UserError` for anything else.
        """
        sets = [f"decode.{key}={json.dumps(value)}" for key, value in settings.items()]
        decoder = Decoder.of(self.run, self.recogniser, search, sets)
        samples = from_array(audio, sample_rate)
        batch = make_batch(["audio"], [""], [samples], self.recogniser.tokenizer)
        (done,) = self.recogniser.transcribe([batch], decoder.search, decoder.decoding)
        return done.hypotheses[0]
