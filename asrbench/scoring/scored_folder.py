"""One run folder under one decoder: what its training and its evaluation recorded."""

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from asrbench.experiment.run_folder import GREEDY, Run
from asrbench.text.profiles import versioned

QUIET_LOAD = 0.05
"""Largest share of the CPU time that other processes may use in an epoch whose time is shown."""


@dataclass(frozen=True)
class ScoredFolder:
    """One run folder with the figures of its training and of one evaluation."""

    run: Run
    decode: str
    stored: dict[str, Any]
    """The figures that `asrbench eval` wrote to `scores.json`."""

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        return self.run.history()

    @property
    def step_seconds(self) -> float | None:
        """Time of an optimizer step in the fastest epoch that a quiet machine trained.

        Every epoch is the same work, and other load on the machine can only add time. On a CPU an
        epoch counts if other processes are known to have used `QUIET_LOAD` at most. A GPU is
        taken to train one run alone, so there every epoch counts. None if no epoch does.
        """
        before = [0, *(row["steps"] for row in self.history)]
        steps = [after - start for start, after in itertools.pairwise(before)]
        on_gpu = self.run.env.get("device") == "cuda"
        times = [
            row["train_seconds"] / count
            for row, count in zip(self.history, steps, strict=True)
            if count and (on_gpu or _is_quiet(row.get("other_load")))
        ]
        return min(times, default=None)

    @property
    def peak_memory_gb(self) -> float | None:
        """Peak memory of the device in training."""
        peaks = (epoch["peak_memory_gb"] for epoch in self.history if "peak_memory_gb" in epoch)
        return max(peaks, default=None)

    @property
    def environment(self) -> dict[str, Any] | None:
        """Versions, commit and machine of the program that decoded it; None if not recorded."""
        return self.stored.get("environment")

    @property
    def corpus(self) -> str:
        """Fingerprint of the corpus on which it was scored."""
        return str(self.stored.get("corpus"))

    @property
    def dev_profile(self) -> str:
        """The scoring profile of the dev CERs in its history."""
        return str(self._last_epoch.get("dev_profile", versioned(self.run.cell.score.profile)))

    @property
    def dev_search(self) -> str:
        """The search that decoded the dev set in training."""
        return str(self._last_epoch.get("dev_search", GREEDY))

    @property
    def eval_options(self) -> str:
        """The options of `asrbench eval` that name this search, each after a space.

        A language model is recorded by its digest, so that its file stands there as FILE.
        """
        settings = self.stored.get("settings") or {}
        lm = " --lm FILE" if "lm" in settings else ""
        search = self.decode.removesuffix("_lm") if lm else self.decode
        return f" --decode {search}{lm}" + (" --tune" if "tuned_on" in settings else "")

    @property
    def dev_n(self) -> int | None:
        """Reference characters of the dev set; None if the history does not have them."""
        return self._last_epoch.get("dev_characters")

    @property
    def _last_epoch(self) -> dict[str, Any]:
        return (self.history or [{}])[-1]


def _is_quiet(other_load: float | None) -> bool:
    return other_load is not None and other_load <= QUIET_LOAD
