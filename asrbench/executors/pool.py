"""Commands that run beside one another, each with a log and a place: a device, or some cores."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asrbench.base.files import make_parents
from asrbench.base.process_map import available

Place = Mapping[str, str]
"""What a process finds in its environment beside what is there for all."""

GRACE_SECONDS = 10.0
"""Time to end in good order that a process gets before it is killed."""


@dataclass
class _Task:
    name: str
    place: int
    process: "subprocess.Popen[bytes]"
    log: Path
    began_at: int
    """Bytes of the log that are from before."""


@dataclass(frozen=True)
class Ended:
    """A command that is over."""

    name: str
    status: int
    """The exit status; the negative of the signal that ended it, if one did."""
    why: str
    """Why it failed, in a line, if it did."""


class Pool:
    """At most one command at a time in each place."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._tasks: list[_Task] = []

    @property
    def free(self) -> bool:
        """Whether there is a place for one more."""
        return len(self._tasks) < len(self._places)

    @property
    def running(self) -> list[str]:
        """Names of those under way, in the order they began."""
        return [task.name for task in self._tasks]

    def start(self, name: str, command: Sequence[str], log: Path) -> None:
        """Starts `command` in a free place; what it prints is appended to `log`.

        Raises `UserError` where there can be no log.
        """
        taken = {task.place for task in self._tasks}
        place = next(i for i in range(len(self._places)) if i not in taken)
        make_parents(log)
        with log.open("ab") as file:
            began_at = file.tell()
            process = subprocess.Popen(
                command,
                env={**os.environ, **self._places[place]},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # Ctrl-C is the parent's to pass on, once: a second one would stop it at once.
                process_group=0,
            )
        self._tasks.append(_Task(name, place, process, log, began_at))

    def ended(self) -> list[Ended]:
        """Those that are over since the last time it was asked."""
        over = [task for task in self._tasks if task.process.poll() is not None]
        self._tasks = [task for task in self._tasks if task not in over]
        return [_ended(task) for task in over]

    def interrupt(self) -> None:
        """Tells all that are under way to save and stop."""
        for task in self._tasks:
            task.process.send_signal(signal.SIGINT)

    def dismiss(self) -> None:
        """Ends all that are under way; returns when they are gone."""
        for task in self._tasks:
            task.process.terminate()
        for task in self._tasks:
            try:
                task.process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                task.process.kill()
                task.process.wait()


@contextmanager
def pool(places: Sequence[Place]) -> Iterator[Pool]:
    """A `Pool` of which nobody is left at the end, whatever that is."""
    those = Pool(places)
    try:
        yield those
    finally:
        those.dismiss()


def places(count: int, gpus: Sequence[str]) -> list[Place]:
    """`count` places: each with its GPU, dealt like cards, and its share of the cores.

    A number of threads that the user gave is left alone.
    """
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, available() // count)))
    made: list[Place] = []
    for number in range(count):
        gpu = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
        made.append({"OMP_NUM_THREADS": threads, **gpu})
    return made


def why(status: int, text: str) -> str:
    """Why a command failed, in a line, from its exit status and what it printed."""
    if status < 0:
        name = signal.Signals(-status).name
        memory = "; the system does that where memory runs out" if name == "SIGKILL" else ""
        return f"killed by {name}{memory}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return ([*lines[-1:], *errors[-1:]] or [f"exit status {status}"])[-1]


def _ended(task: _Task) -> Ended:
    status = task.process.returncode
    if status == 0:
        return Ended(task.name, status, "")
    with task.log.open("rb") as file:
        file.seek(task.began_at)
        printed = file.read().decode(errors="replace")
    return Ended(task.name, status, why(status, printed))
