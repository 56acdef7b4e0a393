"""File systems that no other process sees, and a process that root's rights do not help."""

import ctypes
import os
import pickle
import subprocess
import tempfile
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_REMOUNT, _MS_REC, _MS_PRIVATE = 1, 32, 16384, 1 << 18
"""Flags of unshare(2) and mount(2)."""

_CAPABILITY_VERSION_3 = 0x20080522
"""The version of the arguments of capset(2)."""
_ALL_FILES = 1 << 1 | 1 << 2 | 1 << 3
"""CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER."""
_PR_SET_KEEPCAPS = 8
"""The operation of prctl(2) by which another user keeps the capabilities of root."""
_NOBODY = 65534


def with_own_mounts(work: Callable[[], T]) -> T:
    """Returns what `work` returns in a process whose mounts end with it.

    Raises `RuntimeError` with the traceback of whatever it raises, `PermissionError` without the
    right to mount.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            _call("unshare", _CLONE_NEWNS)
            _call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None)
            result = (work(), None)
        except PermissionError as error:
            result = (None, error)
        except BaseException:
            result = (None, RuntimeError(traceback.format_exc()))
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(result, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        sent = pipe.read()
    os.waitpid(child, 0)
    value, error = pickle.loads(sent)
    if error is not None:
        raise error
    return value


@cache
def can_mount() -> bool:
    """Whether this process may mount a file system that no other process sees."""
    try:
        with_own_mounts(lambda: None)
    except PermissionError:
        return False
    return True


@cache
def can_mount_a_file() -> bool:
    """Whether this machine has loop devices and makes an ext4 file system."""

    def attempt() -> bool:
        with tempfile.TemporaryDirectory() as folder:
            disk = Path(folder) / "disk"
            disk.mkdir()
            try:
                mount_file(disk, 1 << 20)
            except (OSError, subprocess.CalledProcessError):
                return False
            subprocess.run(["umount", disk], check=True)
            return True

    return can_mount() and with_own_mounts(attempt)


def mount_tmpfs(folder: Path, **options: object) -> None:
    """Mounts a file system in memory; the options are those of tmpfs, as `size="64k"`."""
    _call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", 0, _options(options))


def remount(folder: Path, *, read_only: bool = False, **options: object) -> None:
    flags = _MS_REMOUNT | (_MS_RDONLY if read_only else 0)
    _call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", flags, _options(options))


def mount_file(folder: Path, size: int) -> None:
    """Mounts an ext4 file system of so many bytes, in a file that has no name by then."""
    image = folder.with_name(f"{folder.name}.ext4-{os.getpid()}")
    with image.open("wb") as file:
        file.truncate(size)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, folder], check=True, capture_output=True)
    finally:
        image.unlink()


def without_rights() -> None:
    """Gives up the rights that root has beyond those of the owner of a file."""
    if os.geteuid() == 0:
        _keep_capabilities(0)


def as_other_user() -> None:
    """Becomes another user where this is root, whose processes are not limited; all files may
    still be read and written."""
    if os.geteuid() == 0:
        _call("prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        _keep_capabilities(_ALL_FILES)


def _keep_capabilities(kept: int) -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Effective, permitted and inheritable ones, the lower half of each before the upper halves.
    sets = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)
    _call("capset", header, sets)


def _options(options: dict[str, object]) -> bytes:
    return ",".join(f"{name}={value}" for name, value in options.items()).encode()


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
