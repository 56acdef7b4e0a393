"""A training step of KoSpeech (its model, its loss and its optimizer) in a new process.

Started as a script, this file is that process. It has the settings of torch and the allocator that
a user of KoSpeech has, and takes a turn for each line that it reads. The other work of KoSpeech's
trainer is left out, in its favour: features, the error rate of each batch and
`torch.cuda.empty_cache()`. Legend: B batch, T frames, F feature bins, U symbols.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from measure import Contestant
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from asrbench.base.errors import UserError

MODEL_FILE = Path("kospeech") / "models" / "deepspeech2" / "model.py"


def check(checkout: Path) -> None:
    """Raises `UserError` if `checkout` is not a checkout of KoSpeech."""
    if not (checkout / MODEL_FILE).is_file():
        raise UserError(
            f"--kospeech {checkout}: not a checkout of KoSpeech; {MODEL_FILE} is missing"
        )


@contextmanager
def kospeech(
    checkout: Path,
    sizes: dict[str, int],
    tensors: dict[str, Tensor],
    device: torch.device,
    environment: dict[str, str],
) -> Iterator[Callable[[], float]]:
    """Starts the process and yields a function that takes a turn in it: the seconds per step.

    The process has warmed up by then. `tensors` are x_BTF with frames_B, the longest first, and
    targets_BU with target_lengths_B. `sizes` are the `bands`, `symbols` (with the blank), `layers`
    and `width` of the model. `environment` holds the environment variables of the process.
    """
    with tempfile.TemporaryDirectory() as folder:
        path, said = Path(folder) / "tensors", Path(folder) / "said"
        save_file(tensors, path)
        job = {"checkout": str(checkout.resolve()), "tensors": str(path), "device": device.type}
        with said.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, __file__, json.dumps(job | sizes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )

        def answer() -> str:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                last = said.read_text().strip().splitlines()[-1:] or ["it said nothing"]
                raise UserError(f"--kospeech {checkout}: its step failed: {last[0]}")
            return line

        def turn() -> float:
            assert process.stdin is not None
            print(file=process.stdin, flush=True)
            return float(answer())

        try:
            answer()
            yield turn
        finally:
            process.communicate()


def _step(job: dict[str, Any]) -> Callable[[], float]:
    """Returns a function that makes one step with the settings of `DeepSpeech2TrainConfig`."""
    sys.path.insert(0, job["checkout"])
    device = torch.device(job["device"])
    model = import_module("kospeech.models.deepspeech2.model").DeepSpeech2(
        job["bands"],
        job["symbols"],
        num_rnn_layers=job["layers"],
        rnn_hidden_dim=job["width"],
        device=device,
    )
    model.to(device).train()
    criterion = nn.CTCLoss(blank=0, reduction="mean", zero_infinity=True)
    optimizer = import_module("kospeech.optim").Optimizer(
        torch.optim.Adam(model.parameters(), lr=1e-6, weight_decay=1e-5), max_grad_norm=400
    )
    tensors = load_file(job["tensors"])

    def step() -> float:
        optimizer.zero_grad()
        x_BTF, frames_B, targets_BU, target_lengths_B = (
            tensors[name].to(device)
            for name in ("x_BTF", "frames_B", "targets_BU", "target_lengths_B")
        )
        log_probs_BTV, lengths_B = model(x_BTF, frames_B)
        loss = criterion(log_probs_BTV.transpose(0, 1), targets_BU, lengths_B, target_lengths_B)
        loss.backward()
        optimizer.step(model)
        return float(loss.item())

    return step


def _take_turns(job: dict[str, Any]) -> None:
    # KoSpeech's own entry point does the same.
    warnings.filterwarnings("ignore")
    contestant = Contestant(_step(job), torch.device(job["device"]))
    print("ready", flush=True)
    for _ in sys.stdin:
        print(contestant.turn(), flush=True)


if __name__ == "__main__":
    _take_turns(json.loads(sys.argv[1]))
