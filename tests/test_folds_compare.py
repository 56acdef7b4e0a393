"""What `compare` makes of runs of folds: one run of a seed, or a line that says what is wrong."""

import shutil
from pathlib import Path

import pytest
from scored_runs import REFERENCES, leave, wrong

from asrbench import compare, score
from asrbench.base.errors import UserError
from asrbench.base.files import read_jsonl, write_jsonl
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec_file import load_study
from asrbench.stats.verdicts import Verdict


def leave_folds(
    variant: str, seed: int, edits: dict[int, int], of: int = 3, corpus: str = "f1" * 8
) -> dict[int, Run]:
    """Leaves a scored run for each fold in `edits`, with so many wrong characters of 40."""
    Path("study.yaml").write_text(
        f"name: an4\ncorpus: data/an4\nseeds: [{seed}]\nfolds: {of}\n"
        f"variants: {{{variant}: {{model: {{name: {variant}}}}}}}\n"
    )
    runs = {}
    for cell in load_study(Path("study.yaml"), ["train.epochs=1"]).cells:
        assert cell.fold is not None
        index = cell.fold.index
        if index not in edits:
            continue
        found = Run.of(Path("results"), cell, corpus)
        found.begin(cell, {})
        row = {"epoch": 1, "steps": 10, "train_seconds": float(index), "dev_cer": 0.5}
        found.write_history([row | {"other_load": 0.0}])
        hypotheses = wrong(edits[index])
        rows = [
            {"id": f"u{index}-{i}", "reference": reference, "hypothesis": hypothesis}
            for i, (reference, hypothesis) in enumerate(zip(REFERENCES, hypotheses, strict=True))
        ]
        write_jsonl(found.hypotheses_path("test", "greedy"), rows)
        figures = {
            **score(REFERENCES, hypotheses).plain(),
            "corpus": corpus,
            "parameters": 100 + index,
            "real_time_factor": 0.1 * index,
        }
        found.write_scores("test", "greedy", figures)
        runs[index] = found
    return runs


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("results")


def test_the_folds_of_a_seed_are_one_run(here):
    """1, 2 and 3 of 3 x 40 characters. A step took 0.1, 0.2 and 0.3 s."""
    leave_folds("ds2", 0, {1: 1, 2: 2, 3: 3})
    study = compare(here, replicates=0)
    (system,) = study.systems
    assert [each.cer for each in system.runs] == [6 / 120]
    assert (study.utterances, study.n) == (12, 120)
    assert system.cost.step_seconds == pytest.approx(0.2)
    assert system.cost.real_time_factor == pytest.approx(0.2)
    assert system.cost.parameters == 103
    assert system.curves == ()


def test_a_seed_without_one_of_its_folds_is_left_out_and_named(here):
    leave_folds("ds2", 0, {1: 1, 2: 2, 3: 3})
    leave_folds("ds2", 1, {1: 1, 3: 3})
    study = compare(here, replicates=0)
    assert study.seeds == (0,)
    assert (
        "left out: results/an4/ds2/seed1-fold*of3-*: 1 fold of 3 not scored on test: 2"
        in study.notes
    )


def test_only_incomplete_folds_are_an_error_that_names_them(here):
    leave_folds("ds2", 0, {1: 1})
    with pytest.raises(UserError) as caught:
        compare(here)
    assert str(caught.value) == (
        "found no run with all its hypotheses of test (left out: results/an4/ds2/"
        "seed0-fold*of3-*: 2 folds of 3 not scored on test: 2, 3); `asrbench eval results` makes "
        "them"
    )


def test_another_number_of_folds_is_not_averaged(here):
    leave_folds("ds2", 0, {1: 1, 2: 2, 3: 3})
    leave_folds("ds2", 1, {1: 1, 2: 2}, of=2)
    with pytest.raises(UserError) as caught:
        compare(here)
    assert str(caught.value) == (
        "results/an4/ds2/seed0-fold*of3-* and results/an4/ds2/seed1-fold*of2-*: found two runs of "
        "ds2 with another number of folds: 2, not 3; name one of them"
    )


def test_folds_are_not_compared_with_a_test_split(here):
    leave_folds("ds2", 0, {1: 1, 2: 2, 3: 3})
    leave("ds2_selfattn", 0, 1)
    (other,) = compare(here, replicates=200).not_comparable
    assert (other.label, other.reason) == (
        "ds2_selfattn",
        "another number of folds: none, not 3",
    )


def test_folds_of_another_corpus_are_another_run(here):
    leave_folds("ds2", 0, {1: 1, 2: 2})
    leave_folds("ds2", 0, {3: 3}, corpus="0e" * 8)
    with pytest.raises(UserError) as caught:
        compare(here)
    assert "found no run with all its hypotheses of test" in str(caught.value)


def test_a_fold_that_is_there_twice_is_refused(here):
    one = leave_folds("ds2", 0, {1: 1, 2: 2, 3: 3})[2]
    other = Run(one.folder.with_name(f"{one.folder.name}-copy"))
    shutil.copytree(one.folder, other.folder)
    with pytest.raises(UserError) as caught:
        compare(here)
    assert str(caught.value) == (
        f"{one} and {other}: found two runs of ds2, seed 0 fold 2 of 3; name one of them or delete "
        f"the other"
    )


def test_a_fold_that_did_not_learn_makes_its_seed_not_trained(here):
    """Fold 2 is wrong in 36 of 40 characters, which is 90 %; of all 120 it is only 31 %."""
    for seed in (0, 1):
        leave_folds("ds2", seed, {1: 1, 2: 1, 3: 1})
    leave_folds("ds2_selfattn", 0, {1: 1, 2: 0, 3: 0})
    leave_folds("ds2_selfattn", 1, {1: 1, 2: 36, 3: 0})
    found = compare(here, replicates=200).systems[1]
    assert found.verdict is Verdict.NOT_TRAINED
    assert found.reason == "run 2 of 2: fold 2 of 3: CER is 90 % or more"
    assert [each.failure for each in found.runs] == [None, "fold 2 of 3: CER is 90 % or more"]


def test_utterances_in_another_order_are_matched_by_their_ids(here):
    """Then the failing fold must be found by its ids, too."""
    for seed in (0, 1):
        leave_folds("ds2", seed, {1: 1, 2: 1, 3: 1})
    path = leave_folds("ds2_selfattn", 0, {1: 0, 2: 0, 3: 38})[3].hypotheses_path("test", "greedy")
    write_jsonl(path, reversed(read_jsonl(path)))
    found = compare(here, replicates=200).systems[1]
    assert found.reason == "fold 3 of 3: CER is 90 % or more"
    assert found.runs[0].cer == 38 / 120
