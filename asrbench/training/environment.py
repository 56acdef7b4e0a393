"""The environment of training and of decoding: versions, device, precision, commit."""

import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch

import asrbench
from asrbench.base.cpu import this_cpu
from asrbench.recogniser.devices import runs_in_bf16
from asrbench.recogniser.recogniser import Recogniser


def environment(recogniser: Recogniser) -> dict[str, Any]:
    """Returns the content of `env.json` for a run of `recogniser` on this machine."""
    model = recogniser.model
    frozen = recogniser.cell.train.freeze
    return {
        **program_and_machine(recogniser),
        "fingerprint": recogniser.fingerprint,
        "parameters": model.parameter_count,
        **({"trained_parameters": model.trained_count} if frozen else {}),
        "symbols": len(recogniser.tokenizer),
    }


def program_and_machine(recogniser: Recogniser) -> dict[str, Any]:
    """Returns the versions and the commit of this program, and the machine that it runs on."""
    device = recogniser.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else this_cpu()
    bf16 = runs_in_bf16(device, recogniser.cell.train.precision)
    return {
        **program(),
        "device": device.type,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "precision": "bf16" if bf16 else "fp32",
    }


def program() -> dict[str, str | None]:
    """Returns the versions of this program, of Python and of torch, and the program's commit."""
    return {
        "asrbench": asrbench.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": _commit(),
    }


@cache
def _commit() -> str | None:
    """Returns the commit of this program, with `+` where its files differ; None outside git.

    Cached, because a process keeps the code that it has loaded.
    """
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        ours = subprocess.run(
            [*git, "ls-files", "--error-unmatch", "environment.py"], capture_output=True
        )
        if ours.returncode != 0:
            return None  # The package is installed within another repository.
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*git, "status", "--porcelain", "."], capture_output=True)
    except OSError:
        return None
    return head.stdout.strip() + ("+" if changed.stdout else "") if head.returncode == 0 else None
