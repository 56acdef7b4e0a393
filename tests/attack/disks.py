"""Disks that are full, that can only be read, or that belong to somebody else.

A command that finds no room says so in one line and leaves nothing that takes room; as soon as the
disk is as it should be, the same command gives what it gives on a good disk.
"""

import os
import random
import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from attack.aftermath import TRAINS, Bench, Command, bench_of, contents
from attack.attempt import Attack, Attempt
from attack.bounded import Outcome
from attack.home import COMPARE, EVAL, INSPECT, PREP, TRAIN
from attack.mounts import (
    can_mount,
    can_mount_a_file,
    mount_file,
    mount_tmpfs,
    remount,
    with_own_mounts,
    without_rights,
)

ROOM = "200m"
INODES = 100_000
SHARED_MEMORY = ("1m", "64m")
"""Sizes of /dev/shm: almost nothing, and what containers have by default."""

# The commands; all that they write is on the disk


def _empty_disk(home: Path) -> None:
    (home / "disk").mkdir()


def _disk_with_results(*patterns: str) -> Callable[[Path], None]:
    """Returns a function that copies the results without some files to the disk."""

    def begin(home: Path) -> None:
        ignored = shutil.ignore_patterns(*patterns)
        shutil.copytree(home / "results", home / "disk/results", ignore=ignored)

    return begin


PREPARES = Command("prep", (*PREP[:-1], "disk/corpus"), "disk", _empty_disk)
COMMANDS = (
    PREPARES,
    Command("train", (*TRAIN, "--results", "disk/results"), "disk", _empty_disk),
    Command(
        "eval",
        (EVAL[0], "disk/results", *EVAL[2:]),
        "disk",
        _disk_with_results("hypotheses.*", "scores.json"),
    ),
    Command(
        "inspect",
        (INSPECT[0], "disk/results", *INSPECT[2:]),
        "disk",
        _disk_with_results("inspect.*"),
    ),
    Command("compare", (*COMPARE, "--out", "disk/report"), "disk", _empty_disk),
)


# The disks


class Disk:
    """A disk at a folder, from when it is mounted until it is good."""

    def __init__(self, folder: Path, draw: random.Random, needed: int) -> None:
        """`needed` is the number of bytes that the command will write there."""
        self.folder, self.draw, self.needed = folder, draw, needed

    def spoil(self) -> None:
        """Mounts the disk where its content is, and leaves it as the command is to find it."""
        raise NotImplementedError

    def mend(self) -> None:
        raise NotImplementedError

    def in_child(self) -> None:
        """Is called in the process of the command, before it, until the disk is mended."""

    def in_next(self) -> None:
        """The same for the next call."""

    def _filled(self, mount: Callable[[Path], None]) -> int:
        """Mounts a file system, copies to it what the folder had, and returns the bytes used."""
        with_content = self.folder.with_name("content")
        self.folder.rename(with_content)
        self.folder.mkdir()
        mount(self.folder)
        shutil.copytree(with_content, self.folder, dirs_exist_ok=True)
        shutil.rmtree(with_content)
        state = os.statvfs(self.folder)
        return (state.f_blocks - state.f_bfree) * state.f_frsize

    def _room(self) -> int:
        """Draws how many bytes are free: mostly too few."""
        return int(self.needed * self.draw.uniform(0, 1.2))


class Full(Disk):
    """A disk in memory with some room, but not enough."""

    def spoil(self) -> None:
        used = self._filled(lambda folder: mount_tmpfs(folder, size=ROOM))
        page = os.sysconf("SC_PAGE_SIZE")
        remount(self.folder, size=max(page, used + self._room() // page * page))

    def mend(self) -> None:
        remount(self.folder, size=ROOM)


class FullExt4(Disk):
    """An ext4 file system, which may say only at the end of a write that it was full."""

    def spoil(self) -> None:
        self._filled(lambda folder: mount_file(folder, 16 << 20))
        state = os.statvfs(self.folder)
        self.ballast = self.folder / "ballast"
        size = max(0, state.f_bavail * state.f_frsize - self._room())
        with self.ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, size))

    def mend(self) -> None:
        self.ballast.unlink()


class NoInodes(Disk):
    """A disk with room for bytes and for few files."""

    def spoil(self) -> None:
        self._filled(lambda folder: mount_tmpfs(folder, size=ROOM, nr_inodes=INODES))
        state = os.statvfs(self.folder)
        used = state.f_files - state.f_ffree
        remount(self.folder, size=ROOM, nr_inodes=used + self.draw.randint(0, 12))

    def mend(self) -> None:
        remount(self.folder, size=ROOM, nr_inodes=INODES)


class ReadOnly(Disk):
    """A disk that was mounted for reading, as after an error of the device."""

    def spoil(self) -> None:
        self._filled(lambda folder: mount_tmpfs(folder, size=ROOM))
        remount(self.folder, read_only=True, size=ROOM)

    def mend(self) -> None:
        remount(self.folder, size=ROOM)


class NoRights(Disk):
    """A folder in which this user may not write: any one of those on the disk, or all of them."""

    def spoil(self) -> None:
        below = [self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())]
        self.closed = self.draw.choice([below, [self.draw.choice(below)]])
        mode = self.draw.choice([0o555, 0o555, 0o000])
        for path in reversed(self.closed):
            path.chmod(mode)

    def mend(self) -> None:
        for path in self.closed:
            path.chmod(0o755)

    def in_child(self) -> None:
        without_rights()

    in_next = in_child


class SmallFiles(Disk):
    """A limit on the size of a file, as `ulimit -f` sets it."""

    def spoil(self) -> None:
        self.size = int(2000 * 100 ** self.draw.random())

    def mend(self) -> None:
        pass

    def in_child(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))


# The attempts


@dataclass(frozen=True)
class Faulty:
    """A kind of disk, and whether this machine can have one."""

    disk: type[Disk]
    possible: Callable[[], bool] = can_mount

    def attempts(self, folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
        if not self.possible():
            return
        with bench_of(folder) as bench:
            for number in range(count):
                command = COMMANDS[number % len(COMMANDS)]
                yield self._attempt(bench, command, random.Random(draw.random()))

    def _attempt(self, bench: Bench, command: Command, draw: random.Random) -> Attempt:
        faults: list[str] = []

        def make() -> Outcome:
            expected = bench.expected(command)
            bench.begin(command)
            before = sum(map(len, contents(bench.home / "disk").values()))
            needed = sum(map(len, expected.values())) - before
            disk = self.disk(bench.home / "disk", draw, needed + (64 << 10))
            outcome, found = with_own_mounts(lambda: _carried_out(bench, command, disk))
            faults.extend(found)
            return outcome

        return Attempt(
            f"{command.name} on {self.disk.__name__}",
            make=make,
            check=lambda outcome: faults[0] if faults else None,
        )


def _carried_out(bench: Bench, command: Command, disk: Disk) -> tuple[Outcome, list[str]]:
    """Calls the command on the disk, and again when it is good; returns what is wrong with that."""
    disk.spoil()
    names = {*contents(disk.folder)}
    outcome = bench.run(command, before=disk.in_child)
    faults = []
    left = sorted(name for name in {*contents(disk.folder)} - names if _is_stray(name))
    if left:
        faults.append(f"left {left[0]}, which takes room")
    disk.mend()
    if outcome.status != 0:
        names = {*contents(disk.folder)}
        following = bench.run(command, before=disk.in_next)
        if following.status != 0:
            faults.append(f"with room again: {following.fault or following.refusal}")
    if found := bench.difference(command):
        faults.append(f"with room again: {found}")
    return outcome, faults


def _is_stray(name: str) -> bool:
    return ".tmp-" in name or any(part.startswith(".") for part in Path(name).parts)


def small_shared_memory(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Trains with processes that read ahead where there is hardly any shared memory."""
    if not can_mount():
        return
    command = replace(TRAINS, arguments=(*TRAIN, "--set", "run.workers=2"))
    with bench_of(folder) as bench:
        bench.expected(command)
        for number in range(count):
            size = SHARED_MEMORY[number % len(SHARED_MEMORY)]

            def trained(size: str = size) -> Outcome:
                mount_tmpfs(Path("/dev/shm"), size=size)
                return bench.run(command)

            def make(trained: Callable[[], Outcome] = trained) -> Outcome:
                bench.begin(command)
                return with_own_mounts(trained)

            def check(outcome: Outcome) -> str | None:
                return outcome.refusal or bench.difference(command)

            yield Attempt(f"/dev/shm of {size}", make=make, check=check)


ATTACKS = (
    Attack("full disk", "the disk is full after a drawn number of bytes", Faulty(Full).attempts),
    Attack(
        "full ext4 disk",
        "the same on a file system that allocates late",
        Faulty(FullExt4, can_mount_a_file).attempts,
        0.1,
    ),
    Attack(
        "no inodes left",
        "the disk has room for a few more files",
        Faulty(NoInodes).attempts,
        0.15,
    ),
    Attack("read-only disk", "the disk can only be read", Faulty(ReadOnly).attempts, 0.05),
    Attack(
        "no right to write",
        "folders belong to somebody else",
        Faulty(NoRights).attempts,
        0.15,
    ),
    Attack(
        "limited file size",
        "a file may have so many bytes and no more",
        Faulty(SmallFiles).attempts,
        0.15,
    ),
    Attack(
        "small shared memory",
        "training reads ahead with a /dev/shm of 1 MB or 64 MB",
        small_shared_memory,
        0.04,
    ),
)
