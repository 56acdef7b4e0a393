"""What `asrbench eval` leaves beside rates: who decoded, and which texts occur in train."""

from pathlib import Path

import pytest
from tones import TEXTS, cell_of, make_corpus, trained

import asrbench
from asrbench.base.files import read_json, read_jsonl, write_json
from asrbench.base.reporting import Silent
from asrbench.experiment.run_folder import Run
from asrbench.stages.compare.study import study_of
from asrbench.stages.evaluate import evaluate

DEV = [TEXTS[0], "cba", "ab ca"]
"""The first is the `abca` of train, and so is the last if spaces do not count."""


def evaluated(tmp_path: Path, *sets: str) -> Run:
    corpus = make_corpus(tmp_path / "corpus", TEXTS, DEV)
    run = trained(cell_of(tmp_path, corpus, "train.epochs=1", *sets), tmp_path / "results")
    evaluate(run, "dev", "greedy", "cpu", Silent())
    return run


@pytest.mark.parametrize(
    ("profile", "expected"),
    [("verbatim", [True, False, False]), ("nospace", [True, False, True])],
)
def test_rows_say_whether_their_text_stands_in_train(
    profile: str, expected: list[bool], tmp_path: Path
) -> None:
    run = evaluated(tmp_path, f"score.profile={profile}")
    rows = read_jsonl(run.hypotheses_path("dev", "greedy"))
    assert [row["in_train"] for row in rows] == expected


def test_scores_name_the_program_that_decoded(tmp_path: Path) -> None:
    """Training and decoding ran here, so both environments are the same."""
    run = evaluated(tmp_path)
    figures = run.scores()["dev"]["greedy"]
    environment = figures["environment"]
    assert environment["asrbench"] == asrbench.__version__
    assert environment["device"] == "cpu"
    assert {key: run.env[key] for key in environment} == environment
    (system,) = study_of([run.folder], split="dev", replicates=0).systems
    assert system.runs[0].decoded_by == environment


def test_scores_from_before_are_read(tmp_path: Path) -> None:
    run = evaluated(tmp_path)
    scores = read_json(run.scores_path)
    del scores["dev"]["greedy"]["environment"]
    write_json(run.scores_path, scores)
    (system,) = study_of([run.folder], split="dev", replicates=0).systems
    assert system.runs[0].decoded_by is None
