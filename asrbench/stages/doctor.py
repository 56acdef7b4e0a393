"""What this machine offers to training, and what would be slow or fail on it.

Each check imports what it examines itself, so that one broken package does not hide the rest.
"""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

import asrbench
from asrbench.base.cpu import CpuTimes, output_of, this_cpu
from asrbench.base.errors import UserError
from asrbench.base.memory import available_bytes
from asrbench.base.process_map import available

GB = 1e9

LITTLE_MEMORY, LITTLE_DISK, LITTLE_SHARED = 2 * GB, 2 * GB, 1 * GB
"""Bytes below which a study of small models, or NCCL with several GPUs, can fail."""

BUSY = 0.25
"""Share of the machine's CPU time that other programs use from which on it is worth a word."""


@dataclass(frozen=True)
class Finding:
    """One property of the machine."""

    what: str
    found: str
    status: Literal["ok", "slow", "limited", "fails"] = "ok"
    """`slow`: training takes longer; `limited`: something else than training does not work;
    `fails`: training is impossible."""
    why: str = ""
    """What follows, and what to do; empty where the status is `ok`."""


Extra = Callable[[], object]


def examine(folder: Path, extras: Mapping[str, Extra]) -> Iterator[Finding]:
    """Yields the findings on this machine, for training in `folder`.

    `extras` are optional parts of the program by the command that needs them; each raises
    `UserError` where it cannot be used.
    """
    before = CpuTimes.now()
    if (broken := _torch_error()) is None:
        yield from _program()
        yield from _cuda()
        yield from _threads()
    else:
        yield Finding("asrbench", asrbench.__version__)
        yield Finding("Python", platform.python_version())
        yield Finding("torch", "cannot be loaded", "fails", f"{broken}; install asrbench again")
    yield _load(before)
    yield _memory()
    yield _shared_memory()
    yield _write_access(folder)
    yield _disk(folder)
    yield _audio_files()
    yield _hangul()
    for command, start in extras.items():
        yield _extra(command, start)
    yield _encoding()


# Programs and devices


def _torch_error() -> str | None:
    """Returns why torch or torchaudio cannot be loaded; None if they can."""
    try:
        for name in ("torch", "torchaudio"):
            import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0]
    return None


def _program() -> Iterator[Finding]:
    import torchaudio

    from asrbench.training.environment import program

    versions = program()
    commit = f", commit {versions['commit'][:8]}" if versions["commit"] else ""
    yield Finding("asrbench", f"{versions['asrbench']}{commit}")
    yield Finding("Python", f"{versions['python']}, {platform.platform(terse=True)}")
    yield Finding("torch", f"{versions['torch']}, torchaudio {torchaudio.__version__}")


def _cuda() -> Iterator[Finding]:
    """Yields the versions of CUDA, cuDNN and the driver, and every device."""
    import torch

    driver = output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    parts = [
        f"CUDA {torch.version.cuda or 'none'}",
        f"cuDNN {cudnn or 'none'}",
        f"driver {driver.splitlines()[0] if driver else 'none'}",
    ]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if driver and not count:
        why = "there is a driver, but this torch cannot use it: install the build of torch for it"
        yield Finding("GPU software", ", ".join(parts), "slow", why)
    else:
        yield Finding("GPU software", ", ".join(parts))
    for index in range(count):
        yield _gpu(index)
    yield _cpu(count)


def _gpu(index: int) -> Finding:
    import torch

    from asrbench.recogniser.devices import has_fast_bf16

    what, device = f"GPU {index}", torch.device("cuda", index)
    try:
        with torch.cuda.device(device):
            torch.ones(1, device=device).add(1).item()
            bf16 = has_fast_bf16(device)
            free, total = torch.cuda.mem_get_info(device)
    except RuntimeError as error:
        why = f"{str(error).splitlines()[0]}; train with --device cpu, or mend the driver"
        return Finding(what, torch.cuda.get_device_name(device), "fails", why)
    major, minor = torch.cuda.get_device_capability(device)
    found = (
        f"{torch.cuda.get_device_name(device)}, {total / GB:.0f} GB, capability {major}.{minor}, "
        f"{'native bf16' if bf16 else 'no native bf16'}"
    )
    if free < total / 2:
        why = f"other programs leave {free / GB:.1f} GB of its memory; end them"
        return Finding(what, found, "slow", why)
    if not bf16:
        return Finding(what, found, "slow", "training is in fp32, which is slower than bf16")
    return Finding(what, found)


def _cpu(gpus: int) -> Finding:
    import torch

    from asrbench.recogniser.devices import has_fast_bf16

    bf16 = "native bf16" if has_fast_bf16(torch.device("cpu")) else "no native bf16"
    found = f"{this_cpu()}, {bf16}"
    if gpus:
        return Finding("CPU", found)
    why = "no GPU that torch can use: models of full size need one, small ones do not"
    return Finding("CPU", found, "slow", why)


def _threads() -> Iterator[Finding]:
    import torch

    cores, threads = available(), torch.get_num_threads()
    found = f"{threads} on {cores} of the machine's {os.cpu_count()} cores"
    if threads > cores:
        why = f"threads wait for each other; set OMP_NUM_THREADS={cores}"
    elif threads < cores:
        why = f"cores are left idle, unless train --parallel uses them; OMP_NUM_THREADS={cores}"
    else:
        why = ""
    yield Finding("threads", found, "slow" if why else "ok", why)


def _load(before: CpuTimes) -> Finding:
    """Returns what other programs used while this one looked around."""
    share = before.others_until(CpuTimes.now())
    if share is None:
        return Finding("other programs", "not measured")
    found = f"use {100 * share:.0f} % of the cores"
    if share < BUSY:
        return Finding("other programs", found)
    return Finding("other programs", found, "slow", "they slow training on the CPU; end them")


# Memory and files


def _memory() -> Finding:
    free = available_bytes()
    if free is None:
        return Finding("memory", "not measured")
    found = f"{free / GB:.1f} GB available"
    if free >= LITTLE_MEMORY:
        return Finding("memory", found)
    why = "a run can be ended for lack of it; end other programs, or set train.accumulate"
    return Finding("memory", found, "limited", why)


def _shared_memory() -> Finding:
    what, place = "shared memory", Path("/dev/shm")
    if not place.is_dir():
        return Finding(what, "no /dev/shm; training needs none")
    size = shutil.disk_usage(place).total
    found = f"{size / GB:.2f} GB in /dev/shm"
    if size >= LITTLE_SHARED:
        return Finding(what, found)
    why = "enough for one GPU; torchrun with several can fail: docker run --shm-size 1g"
    return Finding(what, found, "limited", why)


def _write_access(folder: Path) -> Finding:
    found = str(folder.resolve())
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        why = f"cannot be written to ({error.strerror}); train in another folder"
        return Finding("folder", found, "fails", why)
    return Finding("folder", f"{found}, can be written to")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{free / GB:.1f} GB free"
    if free >= LITTLE_DISK:
        return Finding("disk", found)
    why = "a study can fill it; `asrbench plan` says how much it needs"
    return Finding("disk", found, "limited", why)


# What only some commands need


def _audio_files() -> Finding:
    what = "audio files"
    try:
        import soundfile
    except (ImportError, OSError) as error:
        return Finding(what, "soundfile cannot be loaded", "fails", str(error).splitlines()[0])
    found = f"libsndfile {soundfile.__libsndfile_version__}"
    if "MP3" in soundfile.available_formats():
        return Finding(what, f"{found}, mp3 too; ffmpeg is not needed")
    why = "it cannot read mp3; pip install a newer soundfile"
    return Finding(what, found, "limited", why)


def _hangul() -> Finding:
    from asrbench.report.plots.inspect import hangul_font

    font = hangul_font()
    if font is not None:
        return Finding("Hangul font", font)
    why = "figures of `inspect` number Korean symbols; install NanumGothic or Noto Sans KR"
    return Finding("Hangul font", "none", "limited", why)


def _extra(command: str, start: Extra) -> Finding:
    try:
        start()
    except (UserError, ImportError) as error:
        return Finding(command, "cannot be used", "limited", str(error).splitlines()[0])
    return Finding(command, "can be used")


def _encoding() -> Finding:
    output = (getattr(sys.stdout, "encoding", None) or "unknown").lower()
    files = sys.getfilesystemencoding().lower()
    found = f"output {output}, names of files {files}"
    if output.replace("-", "") == files.replace("-", "") == "utf8":
        return Finding("encoding", found)
    why = "Korean is printed as \\uXXXX; set PYTHONUTF8=1 or LANG=C.UTF-8"
    return Finding("encoding", found, "limited", why)
