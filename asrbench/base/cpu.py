"""The name of this machine's CPU."""

import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def this_cpu() -> str:
    """Returns the model name of this machine's CPU, or its architecture where no name is known.

    `compare` warns where the runs of a study have different device names, so the architecture alone
    ("x86_64") would hide different machines.
    """
    name = None
    if sys.platform == "darwin":
        name = _output("sysctl", "-n", "machdep.cpu.brand_string")
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


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
