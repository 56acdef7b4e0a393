"""Common tools of the benchmarks: clocks, ratios, the machine and its matrix-product peak.

Hardware is often shared, so only times of the same round are compared: contestants take turns, and
a ratio is the median of the ratios of all rounds, with the least and the greatest beside it.
"""

import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from asrbench.base.cpu import CpuTimes, this_cpu

ROOT = Path(__file__).resolve().parents[1]
TURN_SECONDS = 2.0
"""The least time of a turn; short steps are repeated until they fill it."""
PRODUCT_SIZES = {"cpu": (1024, 2048, 4096), "cuda": (4096, 8192, 16384)}
"""The numbers of rows of the square matrices whose products are timed for the peak."""
PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}

Figures = dict[str, Any]
"""The results of a benchmark, as its JSON file holds them."""


def timed(work: Callable[[], object], device: torch.device, times: int = 1) -> float:
    """Returns the mean seconds of `times` calls of `work`, with its work on the device."""
    _synchronise(device)
    began = time.perf_counter()
    for _ in range(times):
        work()
    _synchronise(device)
    return (time.perf_counter() - began) / times


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Contestant:
    """A function that takes turns with others; the constructor warms it up."""

    def __init__(self, step: Callable[[], object], device: torch.device) -> None:
        self._step, self._device = step, device
        # The first steps also find kernels, fill caches and make the optimizer's state.
        for _ in range(3 if device.type == "cuda" else 1):
            seconds = timed(step, device)
        self._times = max(1, math.ceil(TURN_SECONDS / seconds))

    def turn(self) -> float:
        """Runs the function for `TURN_SECONDS` at least, and returns the seconds per call."""
        return timed(self._step, self._device, self._times)


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def ratios(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Returns median, least and greatest of the ratios of `above` to `below`, turn by turn."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def product_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Returns the FLOP/s of the fastest of a few square matrix products."""
    return max(_product_rate(size, device, dtype) for size in PRODUCT_SIZES[device.type])


def _product_rate(size: int, device: torch.device, dtype: torch.dtype) -> float:
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    product = torch.empty(size, size, device=device, dtype=dtype)

    def multiply() -> None:
        torch.mm(a, b, out=product)

    multiply()
    return 2 * size**3 / min(timed(multiply, device) for _ in range(3))


def say(line: str) -> None:
    """Prints a line on progress to stderr, so that stdout holds the figures alone."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def recorded(benchmark: str, device: torch.device) -> Iterator[Figures]:
    """Yields figures to fill in, which name the benchmark, command, date, commit and machine."""
    figures: Figures = {
        "benchmark": benchmark,
        "command": _command(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": _machine(device),
    }
    before = CpuTimes.now()
    yield figures
    share = before.others_until(CpuTimes.now())
    if share is not None:
        figures["machine"]["cores_of_others"] = share * (os.cpu_count() or 1)


def _machine(device: torch.device) -> dict[str, Any]:
    cpu = this_cpu()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": name,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load_before": os.getloadavg()[0],
    }


def _command() -> str:
    """Returns the command as typed in the root of the repository, without absolute paths."""
    words = ["PATH" if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def _commit() -> str | None:
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True).stdout.strip() or None
    except OSError:
        return None
