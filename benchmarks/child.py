"""Runs a command in a new process and measures its time and peak memory.

Started as a script, this file is a small process between the caller and the command. It is needed
because a process inherits its parent's peak memory: the caller's would include torch.
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
    """The result of a command: its exit status, time, memory and output.

    CPU time and memory include the processes that it started and waited for.
    """

    status: int
    """The exit status, as `Popen.returncode`."""
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    """The greatest resident memory."""
    said: str
    """Both outputs of the command."""

    @property
    def last_line(self) -> str:
        return (self.said.strip().splitlines() or ["it said nothing"])[-1]


def run_apart(command: list[str], folder: Path) -> Ended:
    """Runs `command` in `folder` and waits for its end, even after an exception such as Ctrl-C."""
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
    # Ctrl-C reaches both processes. This one ignores it, so that the command can clean up.
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
