"""This machine's CPU: its name, and how much of it other processes use."""

import os
import platform
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MEASURABLE_SECONDS = 1.0
"""A shorter time cannot be measured: the system counts CPU time in hundredths of a second."""


@dataclass(frozen=True)
class CpuTimes:
    """The CPU time that has been used until one moment, in seconds."""

    clock: float
    """The moment, by a clock that never goes back."""
    machine: float | None
    """By all processes since the machine started; None where the system does not report it."""
    own: float
    """By this process and by those of its children that have ended."""

    @classmethod
    def now(cls) -> "CpuTimes":
        """Returns the times of this moment."""
        used = os.times()
        own = used.user + used.system + used.children_user + used.children_system
        return cls(time.monotonic(), _machine_seconds(), own)

    def others_until(self, later: "CpuTimes", own: float | None = None) -> float | None:
        """Returns the share of the machine's CPU time that other processes used until `later`.

        It is 0 on a quiet machine and 1 where other processes kept all cores busy. `own` is the CPU
        time of the processes that do not count as others, by default that of this process. None
        where the system does not report CPU times, and for less than `MEASURABLE_SECONDS`.
        """
        seconds = later.clock - self.clock
        if self.machine is None or later.machine is None or seconds < MEASURABLE_SECONDS:
            return None
        mine = later.own - self.own if own is None else own
        others = later.machine - self.machine - mine
        return max(0.0, others / (seconds * (os.cpu_count() or 1)))


def _machine_seconds() -> float | None:
    try:
        counts = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    except OSError:
        return None
    # `steal` is the time that other virtual machines took.
    user, nice, system, _, _, irq, softirq, steal = map(int, counts[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def this_cpu() -> str:
    """Returns the model name of this machine's CPU, or its architecture where no name is known.

    `compare` warns where the runs of a study have different device names, so the architecture alone
    ("x86_64") would hide different machines.
    """
    name = None
    if sys.platform == "darwin":
        name = output_of("sysctl", "-n", "machdep.cpu.brand_string")
    elif sys.platform == "linux":
        with suppress(OSError):
            name = cpu_name(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    return name or platform.processor() or platform.machine()


def cpu_name(cpuinfo: str) -> str | None:
    """Returns the model name of the first CPU in the text of /proc/cpuinfo; None without one.

    On ARM, Linux gives no model name.
    """
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return " ".join(value.split())
    return None


def output_of(*command: str) -> str | None:
    """Returns what a program prints, stripped; None where there is none or where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
