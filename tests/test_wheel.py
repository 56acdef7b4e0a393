"""The wheel holds all that it needs: installed away from the checkout, it prepares and trains."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import asrbench

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 300

SMALL = (
    "train.epochs=1",
    "model.encoder.recurrence.width=16",
    "model.encoder.recurrence.layers=1",
    "model.encoder.front_end.channels=4",
)


def output_of(*command: object, folder: Path) -> str:
    """Runs a command in `folder`, without the checkout on its path; returns what it printed."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because what an earlier build left in a checkout enters the next one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    no_cache = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "asrbench", source / "asrbench", ignore=no_cache)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source)
    offline = ("--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
    output_of(
        *(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", folder, source),
        folder=folder,
    )
    (found,) = folder.glob("asrbench-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel.

    Its dependencies are those of this environment, because torch alone has some gigabytes. A plain
    path in a .pth file brings them, and not what this environment has installed as editable.
    """
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, symlinks=True)
    programs = home / "bin"
    pip = (sys.executable, "-m", "pip", "--python", programs / "python")
    output_of(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, folder=home)
    (packages,) = (home / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    package = ROOT / "asrbench"
    there = {
        str(path.relative_to(ROOT))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("asrbench/")}
    assert packed == there


def test_what_is_installed_prepares_trains_and_compares(installed: Path, tmp_path: Path) -> None:
    where = output_of(
        *(installed / "python", "-c", "import asrbench; print(asrbench.__file__)"), folder=tmp_path
    )
    assert Path(where.strip()).is_relative_to(installed.parent)

    def command(*arguments: object) -> str:
        return output_of(installed / "asrbench", *arguments, folder=tmp_path)

    assert asrbench.__version__ in command("--version")
    shares = ("--split", "0.6/0.2/0.2")
    command("prep", "synthetic", "--hours", "0.03", "--voices", "10", *shares, "--out", "data")
    command("init", "mine", "--corpus", "data")
    sets = [part for text in SMALL for part in ("--set", text)]
    printed = command("train", "mine.yaml", "--only", "ds2", "--seed", "0", *sets)
    assert "next: asrbench eval results/mine" in printed
    assert "next: asrbench compare results/mine" in command("eval", "results/mine")
    assert "ds2" in command("compare", "results/mine")
    assert (tmp_path / "results" / "mine" / "report.html").stat().st_size > 10_000
