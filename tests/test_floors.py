"""Imports go down only, and the lower half of the house stands without torch."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "asrbench"

ROOMS = (
    "base",
    "text",
    "experiment",
    "data",
    "scoring",
    "stats",
    "analysis",
    "report",
    "models",
    "recogniser",
    "training",
    "stages",
    "executors",
    "cli",
)
"""The folders of the package, from the lowest floor to the highest."""

TORCH_FREE = (*ROOMS[: ROOMS.index("models")], "cli")
"""Rooms that import without torch; `cli` imports it once a command needs it."""

DISTRIBUTED = "asrbench.base.distributed"
"""Imports torch within its functions, and only where several processes train one run."""


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(HOUSE.rglob("*.py"))}


def imported(name):
    """Every module `name` imports, at its head or within a function."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(
                [*(above if node.level else []), *([node.module] if node.module else [])]
            )
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                modules.add(whole if whole in MODULES else base)
    return modules


def within(name):
    return sorted(module for module in imported(name) if module.split(".")[0] == "asrbench")


def room(name):
    """The folder that a module is in; the package itself and `__main__` are above all of them."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "cli"


def stage(name):
    """The third part of the name: all of stages/prep/ is one stage."""
    return name.split(".")[2] if name.count(".") > 1 else None


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_every_folder_of_the_package_is_a_room():
    folders = {path.parent.name for path in HOUSE.glob("*/__init__.py")}
    assert folders == set(ROOMS)
    files = {path.name for path in HOUSE.glob("*.py")}
    assert files == {"__init__.py", "__main__.py"}


def test_the_listing_of_the_design_is_the_tree():
    lines = (ROOT / "docs/design.md").read_text(encoding="utf-8").splitlines()
    listed = [line.split()[0].rstrip("/") for line in lines if re.match(r"    [a-z/]+/  ", line)]
    folders = {path.parent.relative_to(HOUSE).as_posix() for path in HOUSE.rglob("*/__init__.py")}
    folders = {folder for folder in folders if "prep/" not in folder}
    assert set(listed) == folders
    assert [name for name in listed if "/" not in name] == list(reversed(ROOMS))


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down_only(name):
    floor = ROOMS.index(room(name))
    upward = [m for m in within(name) if m != "asrbench" and ROOMS.index(room(m)) > floor]
    assert not upward, f"{name} (in {room(name)}/) imports {', '.join(upward)} from above"


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) == "stages"])
def test_stages_meet_only_in_files(name):
    others = [m for m in within(name) if room(m) == "stages" and stage(m) != stage(name)]
    assert not others, f"{name} imports another stage: {', '.join(others)}"


def test_only_the_commands_know_the_terminal():
    """typer and rich are imported in cli/ and nowhere below it."""
    knowing = {
        name
        for name in MODULES
        if {module.split(".")[0] for module in imported(name)} & {"typer", "click", "rich"}
    }
    assert {name for name in knowing if room(name) != "cli"} == set()


def test_files_import_is_read_whole():
    """What holds the floors sees: the head, functions, both spellings, names that are modules."""
    assert "asrbench.base.errors" in imported("asrbench.base.files")
    assert "asrbench.stages.prep.recipe" in imported("asrbench.cli.prep")
    assert "asrbench.stages.compare.study" in imported("asrbench.cli.compare")
    assert within("asrbench.base.files") == ["asrbench.base.errors"]


@pytest.mark.parametrize(
    "name", [n for n in MODULES if room(n) in TORCH_FREE[:-1] and n != DISTRIBUTED]
)
def test_lower_rooms_name_no_torch(name):
    outside = {module.split(".")[0] for module in imported(name)}
    assert not outside & {"torch", "torchaudio"}


@pytest.mark.parametrize(
    "modules",
    [
        [name for name in MODULES if room(name) in TORCH_FREE and name != "asrbench.__main__"],
        ["asrbench.stages.compare.study"],
    ],
    ids=["rooms", "compare"],
)
def test_imports_without_torch(modules):
    done = run_python(
        f"import sys, {', '.join(modules)}\n"
        "print(sorted({'torch', 'torchaudio', 'sentencepiece'} & sys.modules.keys()))"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_help_imports_no_torch():
    done = run_python(
        "import runpy, sys\n"
        "sys.argv = ['asrbench', '--help']\n"
        "try:\n"
        "    runpy.run_module('asrbench', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    print('status', end.code or 0)\n"
        "print(sorted({'torch', 'torchaudio', 'sentencepiece'} & sys.modules.keys()))"
    )
    assert "Usage" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-2:] == ["status 0", "[]"]
