"""Commands of asrbench in processes that cannot take the machine, and what became of each.

The process that attacks imports asrbench once and forks itself for every command. The child is
bounded in time, memory and the size of files, reaches no network, and has no terminal.
"""

import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

SECONDS = 10.0
"""A command on the small files of an attack that takes longer than this is taken to hang.

The time in which it could run but other processes had all cores does not count.
"""

MEMORY = 2 * 2**30
"""Bytes that a command may use beyond those of the process that attacks."""

FILE_SIZE = 2**30


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit status, negative for a signal, and None if it hung."""

    status: int | None
    out: str
    err: str
    seconds: float
    peak_bytes: int

    @property
    def refusal(self) -> str | None:
        """The one line with which the command refused its input; None if there is no such line.

        A command line that cannot be parsed is refused by its usage, and a line that says why.
        """
        if self.status == 2 and self.err.startswith(("Usage: ", "Error: ")):
            return self.err.strip().splitlines()[-1].removeprefix("Error: ")
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        return lines[0].removeprefix("error: ") if self.status == 2 and len(lines) == 1 else None

    @property
    def fault(self) -> str | None:
        """What is wrong with the way the command ended, whatever its input was; None if nothing."""
        if self.status is None:
            return f"did not end within {SECONDS:.0f} s"
        if self.status < 0:
            return f"ended by {signal.Signals(-self.status).name}"
        if "Traceback (most recent call last)" in self.err:
            return f"traceback: {self.err.strip().splitlines()[-1][:200]}"
        if self.status == 2 and self.refusal is None:
            return f"exit status 2 and not one line that says why: {self.err.strip()[-200:]!r}"
        if self.status not in (0, 2):
            return f"exit status {self.status}: {self.err.strip()[-200:]!r}"
        if self.peak_bytes > MEMORY:
            return f"took {self.peak_bytes / 2**20:.0f} MiB"
        return None


def run(
    *arguments: object,
    folder: Path,
    before: Callable[[], object] | None = None,
    meanwhile: Callable[[int], object] | None = None,
    seconds: float = SECONDS,
    memory: int = MEMORY,
) -> Outcome:
    """Runs `asrbench ARGUMENTS` in a child process and returns how it ended.

    `folder` is the working directory; the output of the command lies in it, as two hidden files,
    until the command has ended. `before` is called in the child before the command, for example to
    make a fault. `meanwhile` is called here with the id of the child, for example to kill it.
    """
    files = [folder / ".attack-out", folder / ".attack-err"]
    child = os.fork()
    if not child:
        _command([str(a) for a in arguments], folder, files, before, memory)
    if meanwhile is not None:
        meanwhile(child)
    status, peak, took = _end_of(child, seconds)
    out, err = (file.read_text(encoding="utf-8", errors="replace") for file in files)
    for file in files:
        file.unlink()
    return Outcome(status, out, err, took, peak)


def _command(
    arguments: Sequence[str],
    folder: Path,
    files: Sequence[Path],
    before: Callable[[], object] | None,
    memory: int,
) -> NoReturn:
    """Is the child: never returns to the code of its parent."""
    status = 1
    try:
        # A group of its own, so that its workers end with it.
        os.setsid()
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, file in enumerate(files, start=1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            for number, mode in enumerate(("r", "w", "w"))
        )
        _bound(memory)
        if before is not None:
            before()
        from asrbench.cli.app import app

        app(arguments, prog_name="asrbench")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                status = status or 120
        os._exit(status)


def _bound(memory: int) -> None:
    """Limits memory, the size of files and core dumps; makes connecting to a network an error."""
    own = data_bytes()
    resource.setrlimit(resource.RLIMIT_DATA, (own + memory, own + memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def refuse(self: Any, address: Any) -> NoReturn:
        raise AssertionError(f"a command connects to {address}")

    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.socket.bind = refuse  # type: ignore[method-assign]


def data_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024


def _end_of(child: int, seconds: float) -> tuple[int | None, int, float]:
    """Waits for the child and kills it, with its workers, if it does not end in time.

    Returns its exit status, the most memory that it held in bytes, and the seconds it took.
    """
    start = time.monotonic()
    took, ended = 0.0, False
    descriptor = os.pidfd_open(child)
    try:
        while took < seconds and not ended:
            ended = bool(select.select([descriptor], [], [], max(0.01, seconds - took))[0])
            took = time.monotonic() - start - _seconds_in_queue(child)
    finally:
        os.close(descriptor)
    # The group, because workers may outlive the command; the child, before it has a group.
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError):
            kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    peak = usage.ru_maxrss * 1024
    return (os.waitstatus_to_exitcode(status) if ended else None), peak, took


def _seconds_in_queue(process: int) -> float:
    """Returns how long a process, or the slowest below it, has waited for a core that was free."""
    try:
        waited = Path(f"/proc/{process}/schedstat").read_text(encoding="ascii").split()[1]
        children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    except OSError:  # it has ended
        return 0.0
    return max(int(waited) / 1e9, *map(_seconds_in_queue, map(int, children.split())), 0.0)
