"""Imports go down only, and the lower half of the house stands without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "asrbench"

FLOORS = {
    "asrbench": 0,
    "asrbench.apart": 0,
    "asrbench.cores": 0,
    "asrbench.errors": 0,
    "asrbench.files": 0,
    "asrbench.memory": 0,
    "asrbench.pieces": 0,
    "asrbench.profiles": 0,
    "asrbench.registry": 0,
    "asrbench.reporting": 0,
    "asrbench.seeding": 0,
    "asrbench.spec": 0,
    "asrbench.spec_augment": 0,
    "asrbench.spec_base": 0,
    "asrbench.spec_train": 0,
    "asrbench.specfile": 0,
    "asrbench.strict_yaml": 0,
    "asrbench.waveform": 0,
    "asrbench.acoustics": 1,
    "asrbench.analysis": 1,
    "asrbench.analysis.alignment": 1,
    "asrbench.analysis.confusions": 1,
    "asrbench.analysis.findings": 1,
    "asrbench.analysis.hangul": 1,
    "asrbench.analysis.jamo": 1,
    "asrbench.analysis.kinds": 1,
    "asrbench.analysis.lengths": 1,
    "asrbench.analysis.oddities": 1,
    "asrbench.analysis.pairs": 1,
    "asrbench.analysis.segments": 1,
    "asrbench.analysis.speakers": 1,
    "asrbench.analysis.utterances": 1,
    "asrbench.analysis.words": 1,
    "asrbench.audio": 1,
    "asrbench.budget": 1,
    "asrbench.gradients": 1,
    "asrbench.hypotheses": 1,
    "asrbench.levels": 1,
    "asrbench.parallel": 1,
    "asrbench.plots": 1,
    "asrbench.plots_corpus": 1,
    "asrbench.plots_inside": 1,
    "asrbench.plots_panels": 1,
    "asrbench.plots_study": 1,
    "asrbench.runs": 1,
    "asrbench.rates": 1,
    "asrbench.score": 1,
    "asrbench.sounds": 1,
    "asrbench.stats": 1,
    "asrbench.stats.alignment": 1,
    "asrbench.stats.blocks": 1,
    "asrbench.stats.bootstrap": 1,
    "asrbench.stats.exact": 1,
    "asrbench.stats.mapsswe": 1,
    "asrbench.stats.power": 1,
    "asrbench.stats.variance": 1,
    "asrbench.stopping": 1,
    "asrbench.tables": 1,
    "asrbench.text": 1,
    "asrbench.transcripts": 1,
    "asrbench.verdicts": 1,
    "asrbench.versus": 1,
    "asrbench.watch": 1,
    "asrbench.augment": 2,
    "asrbench.decoding": 2,
    "asrbench.devices": 2,
    "asrbench.features": 2,
    "asrbench.flops": 2,
    "asrbench.models": 2,
    "asrbench.models.attention": 2,
    "asrbench.models.decoder": 2,
    "asrbench.models.deepspeech2": 2,
    "asrbench.models.dropout": 2,
    "asrbench.models.front_end": 2,
    "asrbench.models.gru": 2,
    "asrbench.models.masking": 2,
    "asrbench.models.packing": 2,
    "asrbench.models.recurrence": 2,
    "asrbench.objective": 2,
    "asrbench.optimisation": 2,
    "asrbench.peak": 2,
    "asrbench.profiling": 2,
    "asrbench.ranks": 2,
    "asrbench.checkpoint": 3,
    "asrbench.comparison": 3,
    "asrbench.data": 3,
    "asrbench.data.corpus": 3,
    "asrbench.data.loader": 3,
    "asrbench.data.plan": 3,
    "asrbench.data.reading": 3,
    "asrbench.environment": 3,
    "asrbench.groundwork": 3,
    "asrbench.inside": 3,
    "asrbench.learner": 3,
    "asrbench.recogniser": 3,
    "asrbench.results": 3,
    "asrbench.tally": 3,
    "asrbench.compare": 4,
    "asrbench.contents": 4,
    "asrbench.estimate": 4,
    "asrbench.evaluate": 4,
    "asrbench.prep": 4,
    "asrbench.prep.an4": 4,
    "asrbench.prep.commonvoice": 4,
    "asrbench.prep.espeak": 4,
    "asrbench.prep.kspon_text": 4,
    "asrbench.prep.kspon_figures": 4,
    "asrbench.prep.ksponspeech": 4,
    "asrbench.prep.kaldi": 4,
    "asrbench.prep.lhotse": 4,
    "asrbench.prep.librispeech": 4,
    "asrbench.prep.lists": 4,
    "asrbench.prep.nemo": 4,
    "asrbench.prep.openslr": 4,
    "asrbench.prep.sentences": 4,
    "asrbench.prep.sentences.inflection": 4,
    "asrbench.prep.sentences.templates": 4,
    "asrbench.prep.sentences.words": 4,
    "asrbench.prep.sources": 4,
    "asrbench.prep.splits": 4,
    "asrbench.prep.synthetic": 4,
    "asrbench.prep.table": 4,
    "asrbench.prep.trees": 4,
    "asrbench.prep.zeroth": 4,
    "asrbench.report": 3,
    "asrbench.report.cells": 3,
    "asrbench.report.clips": 3,
    "asrbench.report.insides": 3,
    "asrbench.report.utterances": 3,
    "asrbench.report.vectors": 3,
    "asrbench.report.views": 3,
    "asrbench.train": 4,
    "asrbench.__main__": 5,
    "asrbench.cli": 5,
    "asrbench.cli_compare": 5,
    "asrbench.cli_corpus": 5,
    "asrbench.cli_inspect": 5,
    "asrbench.cli_making": 5,
    "asrbench.cli_options": 5,
    "asrbench.cli_plan": 5,
    "asrbench.cli_doors": 5,
    "asrbench.cli_prep": 5,
    "asrbench.cli_score": 5,
    "asrbench.cli_train": 5,
    "asrbench.terminal": 5,
    "asrbench.terminal_aligned": 5,
}

STAGES = 4
TORCH_FREE = sorted(name for name, floor in FLOORS.items() if floor <= 1)


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


def stage(name):
    """The second part of the name: all of prep/ is one stage."""
    return name.split(".")[1]


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_every_module_has_its_floor():
    new, gone = sorted(MODULES.keys() - FLOORS), sorted(FLOORS.keys() - MODULES)
    assert not new, f"give these a floor in FLOORS, the lowest that holds: {', '.join(new)}"
    assert not gone, f"take these out of FLOORS, they are no more: {', '.join(gone)}"


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down_only(name):
    known = [module for module in within(name) if module in FLOORS]
    upward = [module for module in known if FLOORS[module] > FLOORS.get(name, STAGES + 1)]
    assert not upward, f"{name} (floor {FLOORS.get(name)}) imports {', '.join(upward)} from above"


@pytest.mark.parametrize("name", [name for name in MODULES if FLOORS.get(name) == STAGES])
def test_stages_meet_only_in_files(name):
    others = [m for m in within(name) if FLOORS.get(m) == STAGES and stage(m) != stage(name)]
    assert not others, f"{name} imports another stage: {', '.join(others)}"


def test_only_the_top_floor_knows_the_terminal():
    """typer and rich stand in the commands and nowhere below them."""
    knowing = {
        name
        for name in MODULES
        if {module.split(".")[0] for module in imported(name)} & {"typer", "click", "rich"}
    }
    assert {name for name in knowing if FLOORS.get(name, 0) < 5} == set()


def test_files_import_is_read_whole():
    """What holds the floors sees: the head, functions, both spellings, names that are modules."""
    assert "asrbench.errors" in imported("asrbench.files")
    assert "asrbench.prep.an4" in imported("asrbench.cli_prep")
    assert "asrbench.compare" in imported("asrbench.cli_compare")
    assert within("asrbench.files") == ["asrbench.errors"]


@pytest.mark.parametrize("name", TORCH_FREE)
def test_lower_floors_name_no_torch(name):
    outside = {module.split(".")[0] for module in imported(name)}
    assert not outside & {"torch", "torchaudio"}


@pytest.mark.parametrize(
    "modules",
    [TORCH_FREE, ["asrbench.compare"], ["asrbench.cli"]],
    ids=["floors 0 and 1", "compare", "cli"],
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
