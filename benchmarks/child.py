"""A command in a process of its own: how long it runs, and the most memory it holds.

Started as a script this file is a small process that stands between. Of a process the system counts
as its own what the one that started it held at that moment: of one started from here, torch.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
"""The unit of `ru_maxrss`."""


class Ended(NamedTuple):
    """How a command ended: what it took, and what it said on either output.

    CPU time and memory include the processes it started, if it waited for them.
    """

    status: int
    """As `Popen.returncode`."""
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    """Resident in memory at one time."""
    said: str

    @property
    def last_line(self) -> str:
        return (self.said.strip().splitlines() or ["it said nothing"])[-1]


def run_apart(command: list[str], folder: Path) -> Ended:
    """Runs `command` in `folder`, and waits for its end even if this process is to end before."""
    between = subprocess.Popen(
        [sys.executable, "-S", __file__, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=folder,
    )
    try:
        report, said = between.communicate()
    finally:
        between.wait()
    return Ended(**json.loads(report), said=said)


def _run(command: list[str]) -> None:
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    # Ctrl-C reaches both; the command's is to clear away what it made.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status, usage = os.wait4(process.pid, 0)
    report = {
        "status": os.waitstatus_to_exitcode(status),
        "seconds": time.perf_counter() - began,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": MAXRSS_BYTES * usage.ru_maxrss,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    _run(sys.argv[1:])
