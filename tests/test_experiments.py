"""The recipes in experiments/ cannot rot: each loads, builds, and says what it claims to."""

from pathlib import Path

import pytest
import torch

from asrbench.experiment.registry import MODELS
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec_file import dump_cell, load_cell, load_study
from asrbench.models.features import Features
from asrbench.models.flops import forward_flops
from asrbench.models.model import build_model
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
STUDIES = ["ablation.yaml", "an4/ablation.yaml", "smoke.yaml"]
CONTROLS = [name for name, entry in MODELS.items() if entry.control_of]
VARIANTS = [
    "ds2",
    "ds2_selfattn",
    "ds2_posattn",
    "ds2_twattn",
    "ds2_crossattn",
    "ds2_selfattn_deck",
]
"""The six that the studies here are about; a model more in the registry is no duty of theirs."""
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
    folders = {(cell.variant, cell.seed, cell.fold) for cell in study.cells}
    assert len(folders) == len(study.cells)
    for cell in study.cells:
        saved = tmp_path / "spec.yaml"
        saved.write_text(dump_cell(cell))
        assert load_cell(saved).plain() == cell.plain()


def built(cell, symbols=SYLLABLES):
    """On `meta`: shapes only, so that full size costs no memory."""
    bins = Features(cell.features).bins
    with torch.device("meta"):
        return build_model(cell.model, bins=bins, symbols=symbols, seed=None)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_every_model_builds(path):
    models = {cell.model.name: cell for cell in load_study(path).cells}
    for cell in models.values():
        model = built(cell)
        assert model.parameter_count > 0
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_every_variant_bears_the_name_of_its_model(path):
    cells = load_study(path).cells
    sizes = [f"conformer_{size}" for size in "sml"] if relative(path) == "conformer.yaml" else []
    assert [cell.variant for cell in cells] == (sizes or [cell.model.name for cell in cells])


def test_the_conformers_have_the_sizes_of_their_paper():
    """Gulati et al. 2020, table 1, in millions, with its 1,024 word pieces."""
    paper = {"conformer_s": 10.3, "conformer_m": 30.7, "conformer_l": 118.8}
    cells = load_study(EXPERIMENTS / "conformer.yaml").cells
    found = {cell.variant: built(cell, symbols=1024).parameter_count / 1e6 for cell in cells}
    ratios = {name: found[name] / paper[name] for name in paper}
    assert ratios == pytest.approx(dict.fromkeys(paper, 1), abs=0.06)
    assert ratios["conformer_s"] == pytest.approx(1, abs=0.01)
    assert ratios["conformer_l"] == pytest.approx(1, abs=0.02)


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


@pytest.mark.parametrize("path", STUDIES)
def test_a_study_has_each_of_its_variants_with_each_of_its_seeds(path):
    study = load_study(EXPERIMENTS / path)
    seeds = sorted({cell.seed for cell in study.cells})
    assert [(cell.variant, cell.seed) for cell in study.cells] == [
        (variant, seed) for variant in study.variants for seed in seeds
    ]
    identities = {cell.identity(FINGERPRINT) for cell in study.cells}
    assert len(identities) == len(study.cells)


def test_the_study_at_full_size_has_three_seeds():
    seeds = {path: {cell.seed for cell in load_study(EXPERIMENTS / path).cells} for path in STUDIES}
    assert seeds == {
        "ablation.yaml": {0, 1, 2},
        "an4/ablation.yaml": {0},
        "smoke.yaml": {0},
    }


def test_full_size_is_the_registrys():
    for cell in load_study(EXPERIMENTS / "ablation.yaml").cells:
        entry = MODELS[cell.variant].model
        assert (cell.model.encoder, cell.model.head) == (entry.encoder, entry.head)


# One recipe for all variants


@pytest.mark.parametrize("path", STUDIES)
def test_a_study_is_one_recipe_for_all_six(path):
    study = load_study(EXPERIMENTS / path)
    assert study.variants[: len(VARIANTS)] == VARIANTS
    first, *others = [c for c in study.cells if c.seed == 0 and c.variant in VARIANTS]
    for cell in others:
        shared = {"variant", "model", "seed"}
        assert cell.model_dump(exclude=shared) == first.model_dump(exclude=shared)
        for part in ("front_end", "recurrence"):
            assert getattr(cell.model.encoder, part) == getattr(first.model.encoder, part)
        keys = {tuple(key.split(".")) for key in differing_keys(first, cell)}
        assert ("model", "name") in keys
        owned = (("model", "name"), ("model", "encoder", "attention"), ("model", "head"))
        assert all(any(key[: len(o)] == o for o in owned) for key in keys)


@pytest.mark.parametrize("path", STUDIES)
def test_attention_is_as_wide_and_as_regular_in_every_variant(path):
    """Variants with an attention block differ by its kind, not by its heads or its dropout."""
    blocks = [cell.model.encoder.attention for cell in load_study(EXPERIMENTS / path).cells]
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


@SIZES
def test_a_control_is_the_baseline_but_for_its_width(study, symbols):
    cells = cells_of(study)
    assert CONTROLS == ["ds2_wide", "ds2_timed"]
    assert all(MODELS[name].control_of in cells for name in CONTROLS)
    for name in CONTROLS:
        assert differing_keys(cells["ds2"], cells[name]) == [
            "model.name",
            "model.encoder.recurrence.width",
        ]


@SIZES
def test_the_wide_control_has_the_parameters_of_what_it_controls(study, symbols):
    cells = cells_of(study)
    wide, other = (cells[n] for n in ("ds2_wide", MODELS["ds2_wide"].control_of))
    counts = [built(cell, symbols).parameter_count for cell in (wide, other)]
    assert counts[0] == pytest.approx(counts[1], rel=0.01)


@SIZES
def test_the_timed_control_has_the_operations_of_what_it_controls(study, symbols):
    cells = cells_of(study)
    timed, other = (
        forward_flops(cells[n].model, cells[n].features, symbols)
        for n in ("ds2_timed", MODELS["ds2_timed"].control_of)
    )
    assert timed == pytest.approx(other, rel=0.02)


# The runs of AN4 that are in this repository


def test_committed_runs_are_runs_of_the_study():
    """A key that came after them must not change their identity, or `train` trains them again."""
    runs = Run.find([EXPERIMENTS.parent / "results" / "published" / "an4"])
    assert len(runs) == 18
    study = load_study(EXPERIMENTS / "an4" / "ablation.yaml", ["seeds=[0, 1, 2]"])
    cells = {(cell.variant, cell.seed): cell for cell in study.cells}
    for run in runs:
        fingerprint = run.env["fingerprint"]
        cell = cells[run.cell.variant, run.cell.seed]
        assert Run.of(run.folder.parents[2], cell, fingerprint) == run
        assert run.folder.name.endswith(run.cell.identity(fingerprint))
        assert differing_keys(run.cell, cell) == []


def test_folds_of_an4_are_the_study_with_five_folds():
    folds = load_study(EXPERIMENTS / "an4" / "folds.yaml")
    whole = load_study(EXPERIMENTS / "an4" / "ablation.yaml")
    assert folds.variants == whole.variants
    assert [(c.variant, c.fold.index, c.fold.of) for c in folds.cells] == [
        (variant, index, 5) for variant in whole.variants for index in range(1, 6)
    ]
    for cell in folds.cells:
        (same,) = [c for c in whole.cells if c.variant == cell.variant]
        assert cell.without("experiment", "fold") == same.without("experiment", "fold")
