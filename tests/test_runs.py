import re
from pathlib import Path

import pytest

from asrbench.base.errors import UserError
from asrbench.base.files import read_jsonl
from asrbench.experiment.registry import MODELS
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import Cell
from asrbench.experiment.spec_train import TrainSpec

FINGERPRINT = "f1" * 32


def make_cell(**changes):
    known = {"experiment": "demo", "variant": "ds2", "seed": 3, "corpus": "data/demo"}
    return Cell(**(known | {"model": MODELS["ds2"].model} | changes))


@pytest.fixture
def run(tmp_path):
    """A run that has begun: two epochs are planned, none is over."""
    cell = make_cell(train=TrainSpec(epochs=2))
    run = Run.of(tmp_path / "results", cell, FINGERPRINT)
    run.begin(cell, {"device": "cpu"})
    return run


def rows(epochs):
    return [
        {"epoch": epoch, "steps": 10 * epoch, "train_seconds": 2.5, "dev_cer": 1 / epoch}
        for epoch in range(1, epochs + 1)
    ]


# The folder's name


def test_folder_is_named_by_experiment_variant_seed_and_identity():
    cell = make_cell()
    run = Run.of(Path("results"), cell, FINGERPRINT)
    assert str(run) == f"results/demo/ds2/seed3-{cell.identity(FINGERPRINT)}"


@pytest.mark.parametrize(
    "changes",
    [{"seed": 4}, {"variant": "ds2_wide"}, {"train": TrainSpec(epochs=31)}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_spec_lies_in_another_folder(changes):
    here, there = (
        Run.of(Path("results"), cell, FINGERPRINT) for cell in (make_cell(), make_cell(**changes))
    )
    assert here.folder.name.rpartition("-")[2] != there.folder.name.rpartition("-")[2]


def test_another_corpus_lies_in_another_folder_and_the_same_one_elsewhere_does_not():
    run = Run.of(Path("results"), make_cell(), FINGERPRINT)
    assert Run.of(Path("results"), make_cell(), "f2" * 32) != run
    assert Run.of(Path("results"), make_cell(corpus="/mnt/demo"), FINGERPRINT) == run
    assert Run.of(Path("results"), make_cell(), FINGERPRINT, "a1" * 8) != run


# Paths


def test_paths_are_those_the_record_promises():
    run = Run(Path("r"))
    assert [
        path.as_posix()
        for path in (
            run.spec_path,
            run.env_path,
            run.excluded_path,
            run.history_path,
            run.scores_path,
            run.state_path(12, "0123456789abcdef"),
            run.weights_path("last"),
            run.weights_path("best"),
        )
    ] == [
        "r/spec.yaml",
        "r/env.json",
        "r/excluded.jsonl",
        "r/history.jsonl",
        "r/scores.json",
        "r/checkpoints/state-12-0123456789abcdef.pt",
        "r/checkpoints/last.safetensors",
        "r/checkpoints/best.safetensors",
    ]


def test_greedy_hypotheses_bear_the_name_of_the_split_alone():
    decodes = ("greedy", "attention", "joint")
    names = [Run(Path("r")).hypotheses_path("test", decode).name for decode in decodes]
    assert names == [
        "hypotheses.test.jsonl",
        "hypotheses.test.attention.jsonl",
        "hypotheses.test.joint.jsonl",
    ]


# Finding


def test_find_gives_each_run_once_and_sorted(tmp_path):
    results = tmp_path / "results"
    cells = [make_cell(variant=v, seed=s) for v in ("ds2_selfattn", "ds2") for s in (1, 0)]
    runs = [Run.of(results, cell, FINGERPRINT) for cell in cells]
    for run, cell in zip(runs, cells, strict=True):
        run.begin(cell, {})
    assert Run.find([results]) == sorted(runs, key=lambda run: run.folder)
    assert Run.find([runs[0].folder, results / "demo", runs[0].folder]) == Run.find([results])
    assert Run.find([runs[2].folder]) == [runs[2]]


def test_find_sees_no_folder_whose_spec_is_half_written(tmp_path):
    folder = tmp_path / "results" / "demo" / "ds2" / "seed0-00000000"
    folder.mkdir(parents=True)
    (folder / "spec.yaml.tmp-1").write_text("experiment: demo\n")
    (folder / "env.json").write_text("{}")
    with pytest.raises(UserError):
        Run.find([tmp_path / "results"])


@pytest.mark.parametrize("there", [True, False])
def test_find_names_the_path_with_no_run(run, tmp_path, there):
    empty = tmp_path / "empty"
    if there:
        empty.mkdir()
    with pytest.raises(UserError) as caught:
        Run.find([run.folder, empty])
    assert str(caught.value) == (f"{empty}: found no run folder; `asrbench train SPEC` makes them")


def test_find_sees_a_run_whose_spec_is_a_link_to_a_folder(run, tmp_path):
    """`Run.cell` tells what is wrong; passed over, the run would be missing without a word."""
    run.spec_path.unlink()
    run.spec_path.symlink_to(run.folder)
    assert Run.find([tmp_path / "results"]) == [run]


# Contents


def test_begin_leaves_the_spec_and_the_environment(run):
    cell = make_cell(train=TrainSpec(epochs=2))
    assert Run(run.folder).cell.plain() == cell.plain()
    assert Run(run.folder).env == {"device": "cpu"}
    assert run.folder.name.endswith(Run(run.folder).cell.identity(FINGERPRINT))


def test_begin_lists_what_training_leaves_out(run, tmp_path):
    assert run.excluded_path.read_text() == ""
    other = Run(tmp_path / "other")
    other.begin(run.cell, {}, [{"id": "u1", "frames": 3, "needed": 5}])
    assert read_jsonl(other.excluded_path) == [{"id": "u1", "frames": 3, "needed": 5}]


def test_the_spec_is_written_last(run, tmp_path):
    """What has a spec is a run, so a folder that broke before must not have one."""
    later = Run(tmp_path / "later")
    with pytest.raises(TypeError):
        later.begin(run.cell, {"device": object()})
    assert not later.spec_path.exists()


def test_contents_of_a_folder_that_is_not_there_are_empty(tmp_path):
    run = Run(tmp_path / "none")
    assert (run.env, run.history(), run.scores(), run.done) == ({}, [], {}, False)


def test_history_round_trip(run):
    assert run.history() == []
    run.write_history(rows(1))
    run.write_history(rows(2))
    assert Run(run.folder).history() == rows(2)


def test_done_when_every_planned_epoch_has_its_row(run):
    seen = []
    for epochs in range(3):
        run.write_history(rows(epochs))
        seen.append(run.done)
    assert seen == [False, False, True]


def test_a_history_without_a_spec_is_no_run(run):
    run.write_history(rows(2))
    run.spec_path.unlink()
    assert not run.done


def figures(cer: float) -> dict[str, object]:
    return {"profile": "verbatim/1", "cer": cer, "characters": {"n": 10}}


def test_write_scores_merges(run):
    run.write_scores("test", "greedy", figures(0.5))
    run.write_scores("test", "joint", figures(0.4))
    run.write_scores("dev", "greedy", figures(0.3))
    run.write_scores("test", "greedy", figures(0.2) | {"n": 10})
    assert Run(run.folder).scores() == {
        "test": {"greedy": figures(0.2) | {"n": 10}, "joint": figures(0.4)},
        "dev": {"greedy": figures(0.3)},
    }


def test_broken_spec_names_the_file_and_what_a_run_may_hold(run):
    text = run.spec_path.read_text()
    run.spec_path.write_text(text + "sed: 3\n")
    with pytest.raises(UserError) as caught:
        _ = Run(run.folder).cell
    assert str(caught.value) == (
        f"{run.spec_path}: sed: found an unknown key, allowed: augment, compare, corpus, "
        "decode, experiment, features, fold, init_from, model, plugins, run, score, seed, text, "
        "train, variant; did you mean 'seed'?"
    )


@pytest.mark.parametrize("text", ["[3]", "3", '{"test": 3}', '{"test": {"greedy": [1]}}'])
def test_scores_that_are_none_are_one_line(tmp_path: Path, text: str) -> None:
    run = Run(tmp_path)
    run.scores_path.write_text(text)
    with pytest.raises(UserError) as caught:
        run.scores()
    assert re.fullmatch(
        rf"{run.scores_path}(, '[a-z.]+')?: found .*, allowed: an object; "
        rf"delete it and run `asrbench eval {run}`",
        str(caught.value),
    )


@pytest.mark.parametrize("line", ["3", "[]", "{}", '{"epoch": 2, "steps": "x", "dev_cer": 1}'])
def test_a_history_that_is_none_is_one_line(tmp_path: Path, line: str) -> None:
    run = Run(tmp_path)
    row = '{"epoch": 1, "steps": 10, "train_seconds": 2.5, "dev_cer": 0.5}'
    run.history_path.write_text(f"{row}\n{line}\n")
    with pytest.raises(UserError) as caught:
        run.history()
    assert re.fullmatch(
        rf"{run.history_path}, line 2(, '[a-z]+')?: .*; train the run again, or restore the file",
        str(caught.value),
    )
