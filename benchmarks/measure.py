"""What every benchmark here stands on: clocks, ratios, the machine and its matrix-product peak.

Hardware is often shared, so figures are compared only where they were taken side by side:
contestants take turns, a ratio is the median of the ratios of each turn, and the least and the
greatest of them stand beside it.
"""

import math
import os
import platform
import resource
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

ROOT = Path(__file__).resolve().parents[1]
TURN_SECONDS = 2.0
"""Least time of a turn: short steps are repeated until they fill it."""
PRODUCT_SIZES = {"cpu": (1024, 2048, 4096), "cuda": (4096, 8192, 16384)}
"""Rows of the square matrices whose products are timed for the peak."""
PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}

Figures = dict[str, Any]
"""What a benchmark found, as JSON holds it."""


def timed(work: Callable[[], object], device: torch.device, times: int = 1) -> float:
    """Seconds that `work` takes once, of `times` in a row, the device's share included."""
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
    """Work that takes turns with other work; warmed up when it is made."""

    def __init__(self, step: Callable[[], object], device: torch.device) -> None:
        self._step, self._device = step, device
        # The first steps also find kernels, fill caches and make the optimizer's state.
        for _ in range(3 if device.type == "cuda" else 1):
            seconds = timed(step, device)
        self._times = max(1, math.ceil(TURN_SECONDS / seconds))

    def turn(self) -> float:
        """Seconds a step."""
        return timed(self._step, self._device, self._times)


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def ratios(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Turn by turn, what stands in `above` over what stands in `below`."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def product_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the fastest of a few square matrix products."""
    return max(_product_rate(size, device, dtype) for size in PRODUCT_SIZES[device.type])


def _product_rate(size: int, device: torch.device, dtype: torch.dtype) -> float:
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    product = torch.empty(size, size, device=device, dtype=dtype)

    def multiply() -> None:
        torch.mm(a, b, out=product)

    multiply()
    return 2 * size**3 / min(timed(multiply, device) for _ in range(3))


def say(line: str) -> None:
    """Progress, beside the figures."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def recorded(benchmark: str, device: torch.device) -> Iterator[Figures]:
    """Yields figures to fill in: by what, when, from which commit and on which machine."""
    figures: Figures = {
        "benchmark": benchmark,
        "command": _command(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": _machine(device),
    }
    began, busy = time.monotonic(), _others_seconds()
    yield figures
    if busy is not None:
        others = (_others_seconds() or 0.0) - busy
        figures["machine"]["cores_of_others"] = max(0.0, others / (time.monotonic() - began))


def _machine(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": name,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load_before": os.getloadavg()[0],
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _others_seconds() -> float | None:
    """CPU time that processes other than this one and its finished children have had, where the
    system tells: what else ran while a benchmark did."""
    try:
        counts = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, counts[:8])
    everything = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return everything - sum(each.ru_utime + each.ru_stime for each in used)


def _command() -> str:
    """As typed from the root of the repository; where things lie on this machine is left out."""
    words = ["PATH" if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def _commit() -> str | None:
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True).stdout.strip() or None
    except OSError:
        return None
