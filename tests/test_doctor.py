"""`asrbench doctor`: each finding on a machine that has it, and on one that does not."""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from doors import run

import asrbench
from asrbench.base.errors import UserError
from asrbench.recogniser import devices
from asrbench.report.plots import inspect as pictures
from asrbench.stages import doctor
from asrbench.stages.doctor import GB, Finding, examine

ROOT = Path(__file__).parent.parent


def findings(folder: Path = Path(), **extras: Any) -> dict[str, Finding]:
    return {each.what: each for each in examine(folder, extras)}


def with_gpu(monkeypatch: pytest.MonkeyPatch, *, bf16: bool = True, free: float = 80 * GB) -> None:
    """Has torch report one GPU. Its tensors lie on the CPU, as this machine may have no other."""
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "device": lambda _: tempfile.TemporaryDirectory(),  # any context
        "get_device_name": lambda _: "NVIDIA X",
        "get_device_capability": lambda _: (8, 6),
        "mem_get_info": lambda _: (free, 80 * GB),
        "is_bf16_supported": lambda including_emulation: bf16,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch, "ones", lambda size, device: torch.zeros(size))


def test_this_machine_can_train_and_says_so_in_both_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("doctor", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["can_train"] is True
    found = {each["what"]: each for each in document["findings"]}
    assert found["asrbench"]["found"].startswith(asrbench.__version__)
    assert found["torch"]["found"].startswith(torch.__version__)
    assert str(tmp_path.resolve()) in found["folder"]["found"]
    for each in document["findings"]:
        assert (each["status"] == "ok") == (each["why"] == "")
    assert list(tmp_path.iterdir()) == []

    code, out, _ = run("doctor")
    assert code == 0
    lines = [line for line in out.splitlines() if not line.startswith(" ")]
    assert [line[9:25].strip() for line in lines] == list(found)


def test_the_devices_are_those_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    native = devices.has_fast_bf16(torch.device("cpu"))
    cpu = findings()["CPU"]
    assert (cpu.status, "no native bf16" in cpu.found) == ("slow", not native)
    with_gpu(monkeypatch)
    found = findings()
    assert found["CPU"].status == "ok"
    assert found["GPU 0"] == Finding("GPU 0", "NVIDIA X, 80 GB, capability 8.6, native bf16")


def test_a_gpu_that_is_slow_taken_or_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch, bf16=False)
    found = findings()["GPU 0"]
    assert (found.status, "no native bf16" in found.found) == ("slow", True)
    with_gpu(monkeypatch, free=3 * GB)
    found = findings()["GPU 0"]
    assert (found.status, "leave 3.0 GB" in found.why) == ("slow", True)

    def no_kernel(size: int, device: torch.device) -> torch.Tensor:
        raise RuntimeError("CUDA error: no kernel image is available\nmore lines")

    monkeypatch.setattr(torch, "ones", no_kernel)
    found = findings()["GPU 0"]
    assert (found.status, found.why.partition(";")[0]) == (
        "fails",
        "CUDA error: no kernel image is available",
    )


def test_a_driver_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor, "output_of", lambda *command: "570.86\n570.86")
    found = findings()["GPU software"]
    assert found.found.endswith(", driver 570.86")
    assert (found.status, "cannot use it" in found.why) == ("slow", True)


@pytest.mark.parametrize(("cores", "status"), [(0, "slow"), (1, "ok"), (2, "slow")])
def test_threads(cores: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(doctor, "available", lambda: 4 * cores or 1)
    found = findings()["threads"]
    assert found.status == status
    assert (f"OMP_NUM_THREADS={4 * cores or 1}" in found.why) == (status == "slow")


@pytest.mark.parametrize(("share", "status"), [(None, "ok"), (0.1, "ok"), (0.5, "slow")])
def test_other_programs(share: float | None, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.CpuTimes, "others_until", lambda self, later: share)
    assert findings()["other programs"].status == status


def test_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    little = SimpleNamespace(total=64e6, free=64e6)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: little)
    monkeypatch.setattr(doctor, "available_bytes", lambda: 1_000_000)
    found = findings()
    assert {found[what].status for what in ("memory", "disk")} == {"limited"}
    if Path("/dev/shm").is_dir():
        assert found["shared memory"].found == "0.06 GB in /dev/shm"
        assert found["shared memory"].status == "limited"


def test_a_folder_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(dir: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    code, out, err = run("doctor")
    assert (code, err) == (2, "error: training is impossible here: folder\n")
    assert "cannot be written to (Read-only file system)" in " ".join(out.split())


def test_a_broken_torch_hides_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    found = findings()
    assert (found["torch"].status, "torchaudio" in found["torch"].why) == ("fails", True)
    assert {"memory", "disk", "Hangul font", "encoding"} <= found.keys()
    assert run("doctor", "--json")[0] == 2


def test_the_font_is_the_one_that_figures_take(monkeypatch: pytest.MonkeyPatch) -> None:
    has = {"Noto Sans KR": frozenset(map(ord, "가힣한글"))}
    monkeypatch.setattr(pictures, "_characters", lambda family: has.get(family, frozenset()))
    assert findings()["Hangul font"] == Finding("Hangul font", "Noto Sans KR")
    assert pictures._spelled(["한", "글"]) == (["한", "글"], [pictures.FONT, "Noto Sans KR"])
    has.clear()
    assert findings()["Hangul font"].status == "limited"
    assert pictures._spelled(["한", "글"]) == (["1", "2"], [pictures.FONT])


def test_extras_say_what_they_need() -> None:
    def missing() -> None:
        raise UserError("synthetic: eSpeak NG is not installed; pip install it")

    found = findings(one=missing, other=lambda: None)
    assert found["one"].status == "limited"
    assert found["one"].why == "synthetic: eSpeak NG is not installed; pip install it"
    assert found["other"].status == "ok"


def test_an_output_without_hangul() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asrbench", "doctor", "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    found = {each["what"]: each for each in json.loads(done.stdout)["findings"]}
    assert found["encoding"]["status"] == "limited"
    assert found["encoding"]["found"].startswith("output ascii")
