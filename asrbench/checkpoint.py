"""All that changes while a run is trained, and how it is kept so that a run can go on."""

import math
from dataclasses import asdict, dataclass, field
from pickle import UnpicklingError
from typing import Any

import torch

from asrbench.errors import UserError, pick
from asrbench.files import atomic
from asrbench.recogniser import Recogniser
from asrbench.runs import Run


@dataclass
class Tally:
    """Sums over the batches of an epoch so far."""

    batches: int = 0
    loss: float = 0.0
    ctc: float = 0.0
    attention: float = 0.0
    characters: int = 0
    """Of the references, whatever unit spells them: losses are comparable across units."""
    audio_seconds: float = 0.0
    gradient_norm: float = 0.0
    seconds: float = 0.0


@dataclass
class State:
    """All that changes while a run is trained."""

    recogniser: Recogniser
    optimizer: torch.optim.Optimizer
    history: list[dict[str, Any]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    """Of the epoch under way; its `batches` is the cursor into the epoch's plan."""
    steps: int = 0
    best_cer: float = math.inf

    @property
    def epoch(self) -> int:
        """Index of the epoch under way, from 0: the number of those that are over."""
        return len(self.history)


def save(state: State, run: Run) -> None:
    """The state to go on from, in one file and so always whole; then what is read by others."""
    with atomic(run.state_path) as temporary:
        torch.save(
            {
                "model": state.recogniser.model.state_dict(),
                "optimizer": state.optimizer.state_dict(),
                "history": state.history,
                "tally": asdict(state.tally),
                "steps": state.steps,
                "best_cer": state.best_cer,
                "identity": run.folder.name,
            },
            temporary,
        )
    publish(state, run)


def publish(state: State, run: Run) -> None:
    """What others read of the state."""
    state.recogniser.save(run.weights_path("last"), state.epoch)
    run.write_history(state.history)


def resume(state: State, run: Run) -> None:
    """Takes the state up again. Raises `UserError` if it is another run's."""
    device = state.recogniser.device
    try:
        stored = torch.load(run.state_path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, UnpicklingError):
        raise UserError(
            f"{run.state_path}: cannot be read; delete {run.folder} and train it again"
        ) from None
    pick(f"{run.state_path}: run", stored["identity"], [run.folder.name])
    state.recogniser.model.load_state_dict(stored["model"])
    state.optimizer.load_state_dict(stored["optimizer"])
    state.history, state.tally = stored["history"], Tally(**stored["tally"])
    state.steps, state.best_cer = stored["steps"], stored["best_cer"]
    # A kill may have come between the state and what is read of it, or in the middle of a file.
    publish(state, run)
    for stray in run.folder.rglob("*.tmp-*"):
        stray.unlink()
