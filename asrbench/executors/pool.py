"""A pool of commands: each runs in a process of its own, with a log and a slot of the machine."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from asrbench.base.files import make_parents
from asrbench.base.process_map import available
from asrbench.base.signals import PARENT

Slot = Mapping[str, str]
"""The environment variables that a process gets in addition: its GPU, its number of threads."""

GRACE_SECONDS = 10.0
"""Time between SIGTERM and SIGKILL for a process that the pool ends."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    name: str
    status: int
    """The exit status, or the negative signal number if a signal ended the process."""
    reason: str
    """Why the command failed, in one line; empty if it did not."""


@dataclass(frozen=True)
class _Task:
    name: str
    slot: int
    process: "subprocess.Popen[bytes]"
    log: Path
    log_start: int
    """Size of the log in bytes before this command wrote to it."""


class Pool:
    """Runs at most one command at a time in each slot. Leaving its context ends all of them."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._tasks: list[_Task] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def has_free_slot(self) -> bool:
        return len(self._tasks) < len(self._slots)

    @property
    def running(self) -> list[str]:
        """The names of the running commands, in the order in which they were started."""
        return [task.name for task in self._tasks]

    def start(self, name: str, command: Sequence[str], log: Path) -> None:
        """Starts `command` in a free slot and appends its output to `log`.

        A command of asrbench ends when this process does, however that ends (`end_with_caller`).
        Raises `UserError` if the log cannot be created.
        """
        taken = {task.slot for task in self._tasks}
        slot = next(i for i in range(len(self._slots)) if i not in taken)
        make_parents(log)
        with log.open("ab") as file:
            log_start = file.tell()
            process = subprocess.Popen(
                command,
                env={**os.environ, **self._slots[slot], PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # Ctrl-C must reach the parent alone, which passes it on once: a second SIGINT
                # would end the process before it saves.
                process_group=0,
            )
        self._tasks.append(_Task(name, slot, process, log, log_start))

    def finished(self) -> list[Finished]:
        """Returns the commands that have ended since the last call, and frees their slots."""
        ended = [task for task in self._tasks if task.process.poll() is not None]
        self._tasks = [task for task in self._tasks if task not in ended]
        return [_finished(task) for task in ended]

    def interrupt(self) -> None:
        """Sends SIGINT to every running command."""
        for task in self._tasks:
            task.process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """Ends every running command, by SIGKILL if need be, and returns when all have ended."""
        for task in self._tasks:
            task.process.terminate()
        for task in self._tasks:
            try:
                task.process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                task.process.kill()
                task.process.wait()


def machine_slots(count: int, gpus: Sequence[str]) -> list[Slot]:
    """Returns `count` slots of this machine: GPUs are assigned round-robin, cores evenly.

    A value of OMP_NUM_THREADS that the user has set is kept.
    """
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, available() // count)))
    slots: list[Slot] = []
    for number in range(count):
        gpu = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
        slots.append({"OMP_NUM_THREADS": threads, **gpu})
    return slots


def failure_reason(status: int, output: str) -> str:
    """Returns one line that says why a command failed, from its exit status and its output.

    The line is the last one that starts with `error: `, or else the last one.
    """
    if status < 0:
        name = signal.Signals(-status).name
        hint = "; the system does this when memory runs out" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return ([*lines[-1:], *errors[-1:]] or [f"exit status {status}"])[-1]


def _finished(task: _Task) -> Finished:
    status = task.process.returncode
    if status == 0:
        return Finished(task.name, status, "")
    with task.log.open("rb") as file:
        file.seek(task.log_start)
        output = file.read().decode(errors="replace")
    return Finished(task.name, status, failure_reason(status, output))
