"""The recipes in experiments/ cannot rot: each loads, builds, and says what it claims to."""

from pathlib import Path

import pytest
import torch

from asrbench.experiment.registry import MODELS
from asrbench.experiment.spec_file import dump_cell, load_cell, load_study
from asrbench.models.encoders.deepspeech2 import DeepSpeech2
from asrbench.models.features import Features
from asrbench.models.flops import forward_flops
from asrbench.scoring.results import differing_keys

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
FILES = sorted(EXPERIMENTS.rglob("*.yaml"))
FULL_SIZE = [
    "ds2_baseline",
    "ds2_selfattn",
    "ds2_posattn",
    "ds2_twattn",
    "ds2_crossattn",
    "ds2_wide",
    "ds2_timed",
]
CONTROLS = [name for name, entry in MODELS.items() if entry.control_of]
VARIANTS = [name for name in MODELS if name not in CONTROLS]
FINGERPRINT = "f1" * 32
SYLLABLES = 2001


def relative(path):
    return path.relative_to(EXPERIMENTS).as_posix()


def only_cell(name):
    (cell,) = load_study(EXPERIMENTS / f"{name}.yaml").cells
    return cell


def test_the_folder_is_walked():
    assert {"ablation.yaml", "smoke.yaml", "an4/ds2.yaml"} <= {relative(path) for path in FILES}
    assert not [*EXPERIMENTS.rglob("*.yml")], "the suffix here is .yaml"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_loads(path, tmp_path):
    study = load_study(path)
    assert study.cells
    folders = {(cell.variant, cell.seed) for cell in study.cells}
    assert len(folders) == len(study.cells)
    for cell in study.cells:
        saved = tmp_path / "spec.yaml"
        saved.write_text(dump_cell(cell))
        assert load_cell(saved) == cell


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_every_model_builds(path):
    """On `meta`: shapes only, so that full size costs no memory."""
    built = []
    for cell in load_study(path).cells:
        if cell.model in built:
            continue
        bins = Features(cell.features).bins
        with torch.device("meta"):
            model = DeepSpeech2(cell.model, bins=bins, symbols=SYLLABLES, seed=None)
        assert model.parameter_count > 0
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
        built.append(cell.model)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_every_variant_bears_the_name_of_its_model(path):
    cells = load_study(path).cells
    assert [cell.variant for cell in cells] == [cell.model.name for cell in cells]


# The study at full size


@pytest.mark.parametrize("name", FULL_SIZE)
def test_single_file_is_a_run_of_the_whole_study(name):
    """Else the file would train again what the study has trained, or something else."""
    single = only_cell(name)
    (same,) = [
        cell
        for cell in load_study(EXPERIMENTS / "ablation.yaml").cells
        if (cell.variant, cell.seed) == (single.variant, 0)
    ]
    assert single == same
    assert single.identity(FINGERPRINT) == same.identity(FINGERPRINT)


def test_study_at_full_size_is_every_model_thrice():
    study = load_study(EXPERIMENTS / "ablation.yaml")
    assert [(cell.variant, cell.seed) for cell in study.cells] == [
        (variant, seed) for variant in MODELS for seed in (0, 1, 2)
    ]
    identities = {cell.identity(FINGERPRINT) for cell in study.cells}
    assert len(identities) == 3 * len(MODELS)


def test_full_size_is_the_registrys():
    for cell in load_study(EXPERIMENTS / "ablation.yaml").cells:
        assert cell.model == MODELS[cell.variant].model


# One recipe for all variants


def assert_one_recipe(cells):
    first = cells[0]
    for cell in cells[1:]:
        shared = {"variant", "model", "seed"}
        assert cell.model_dump(exclude=shared) == first.model_dump(exclude=shared)
        owned = {"name", "attention", "decoder"}
        assert cell.model.model_dump(exclude=owned) == first.model.model_dump(exclude=owned)
        keys = differing_keys(first, cell)
        assert "model.name" in keys
        assert all(key.split(".")[:2] != ["model", "front_end"] for key in keys)


def test_an4_is_one_recipe_for_all_six():
    cells = [only_cell(f"an4/{name}") for name in VARIANTS]
    assert [cell.variant for cell in cells] == VARIANTS
    assert {cell.experiment for cell in cells} == {"an4"}
    assert_one_recipe(cells)


def test_an4_study_is_its_single_files():
    study = load_study(EXPERIMENTS / "an4" / "ablation.yaml")
    assert study.cells == [only_cell(f"an4/{name}") for name in MODELS]


@pytest.mark.parametrize("name", ["smoke", "ablation"])
def test_study_is_one_recipe_for_all_six(name):
    study = load_study(EXPERIMENTS / f"{name}.yaml")
    assert study.variants[: len(VARIANTS)] == VARIANTS
    assert_one_recipe([c for c in study.cells if c.seed == 0 and c.variant in VARIANTS])


def test_attention_is_as_wide_and_as_regular_in_every_an4_variant():
    """Variants with an attention block differ by its kind, not by its heads or its dropout."""
    blocks = [only_cell(f"an4/{name}").model.attention for name in MODELS]
    assert len({(b.heads, b.dropout) for b in blocks if b.kind != "none"}) == 1


# Controls


def cells_of(study):
    """By variant, of its first seed."""
    return {c.variant: c for c in load_study(EXPERIMENTS / study).cells if c.seed == 0}


SIZES = pytest.mark.parametrize(
    ("study", "symbols"),
    [("ablation.yaml", SYLLABLES), ("an4/ablation.yaml", 29)],
    ids=["full size", "AN4"],
)
"""Symbols are those of KsponSpeech and AN4, the blank included."""


def parameters(cell, symbols):
    bins = Features(cell.features).bins
    with torch.device("meta"):
        return DeepSpeech2(cell.model, bins=bins, symbols=symbols, seed=None).parameter_count


@SIZES
def test_a_control_is_the_baseline_but_for_its_width(study, symbols):
    cells = cells_of(study)
    assert CONTROLS == ["ds2_wide", "ds2_timed"]
    for name in CONTROLS:
        assert differing_keys(cells["ds2"], cells[name]) == ["model.name", "model.recurrence.width"]


@SIZES
def test_the_wide_control_has_the_parameters_of_what_it_controls(study, symbols):
    cells = cells_of(study)
    wide, other = (cells[n] for n in ("ds2_wide", MODELS["ds2_wide"].control_of))
    assert parameters(wide, symbols) == pytest.approx(parameters(other, symbols), rel=0.01)


@SIZES
def test_the_timed_control_has_the_operations_of_what_it_controls(study, symbols):
    cells = cells_of(study)
    timed, other = (
        forward_flops(cells[n].model, cells[n].features, symbols)
        for n in ("ds2_timed", MODELS["ds2_timed"].control_of)
    )
    assert timed == pytest.approx(other, rel=0.02)
