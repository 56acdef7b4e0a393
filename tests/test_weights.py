"""The rule of the spec chooses the weights that are tested, and an average is an average."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tones import TEXTS, Heard, StopsAfter, cell_of, make_corpus, same_weights, trained

import asrbench
from asrbench.experiment.run_folder import Run, chosen_row
from asrbench.experiment.spec_file import load_study
from asrbench.recogniser.loader import load
from asrbench.recogniser.loading import load_recogniser
from asrbench.scoring.edit_counts import character_errors
from asrbench.stages.evaluate import evaluate_runs
from asrbench.training.loop import train
from asrbench.training.setup import set_up
from asrbench.training.stopping import Interrupted
from asrbench.training.weight_average import WeightAverage

ROOT = Path(__file__).parents[1]
AVERAGE = "train.weights={kind: average, epochs: 2}"
WHICH = ("best", "last", "average")


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=8))
def test_the_average_is_the_mean_and_counters_are_the_last(values: list[float]) -> None:
    """Batch norm has parameters, running statistics and, in torch's, a count of batches."""
    average, norm = WeightAverage(), torch.nn.BatchNorm1d(2)
    for number, value in enumerate(values, start=1):
        with torch.no_grad():
            norm.weight.fill_(value)
            norm.running_var.fill_(abs(value))
            norm.num_batches_tracked.fill_(10 * number)
        average.add(norm)
    mean = average.mean()
    assert mean["weight"].numpy() == pytest.approx(np.mean(values), rel=1e-5, abs=1e-3)
    assert mean["running_var"].numpy() == pytest.approx(np.mean(np.abs(values)), rel=1e-5, abs=1e-3)
    assert mean["num_batches_tracked"] == 10 * len(values)
    torch.nn.BatchNorm1d(2).load_state_dict(mean)


class KeepsEpochs(Heard):
    """Keeps the weights after each epoch."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.weights: list[dict[str, torch.Tensor]] = []

    def say(self, line: str) -> None:
        super().say(line)
        if " epoch " in line:
            self.weights.append(load_file(self.run.weights_path("last")))


def test_a_run_averages_its_last_epochs_and_measures_them_on_dev(
    tmp_path: Path, corpus: Path
) -> None:
    setup = set_up(cell_of(tmp_path, corpus, AVERAGE), tmp_path / "results")
    run = setup.run
    heard = KeepsEpochs(run)
    train(setup, heard)
    *_, before_last, last = heard.weights
    found = load_file(run.weights_path("average"))
    assert len(heard.weights) == 4
    for name, weight in found.items():
        torch.testing.assert_close(weight, (before_last[name] + last[name]) / 2)

    recogniser = load_recogniser(run, "cpu", "average")
    batches = load(setup.dev, setup.tokenizer, [list(range(len(setup.dev)))])
    (done,) = recogniser.transcribe(batches, "greedy")
    rate = character_errors(done.references, done.hypotheses, "verbatim").rate
    *earlier, row = run.history()
    assert row["average_dev_cer"] == rate
    assert not any("average_dev_cer" in each for each in earlier)
    assert f"averaged {100 * rate:.2f} %" in heard.lines[-1]


def test_the_rule_changes_what_is_tested_and_not_what_is_trained(
    tmp_path: Path, corpus: Path
) -> None:
    runs = {
        kind: trained(cell_of(tmp_path, corpus, *sets), tmp_path / "results")
        for kind, sets in (
            ("best", []),
            ("last", ["train.weights.kind=last"]),
            ("average", [AVERAGE]),
        )
    }
    assert len({run.folder.name for run in runs.values()}) == 3
    for kind, run in runs.items():
        assert same_weights(run, runs["best"])
        assert same_weights(run, runs["best"], "best")
        assert run.weights_path() == run.weights_path(kind)
        tested, named = load_recogniser(run, "cpu"), load_recogniser(run, "cpu", kind)
        assert tested.epoch == chosen_row(run.rule, run.history())["epoch"]
        for one, other in zip(tested.model.parameters(), named.model.parameters(), strict=True):
            assert torch.equal(one, other)
        assert asrbench.load(run.folder, "cpu").recogniser.epoch == tested.epoch


def test_the_epoch_that_is_tested() -> None:
    history = [{"epoch": n, "dev_cer": cer} for n, cer in enumerate((0.5, 0.2, 0.2, 0.4), 1)]
    assert [chosen_row(rule, history)["epoch"] for rule in WHICH] == [2, 4, 4]


def test_eval_scores_the_weights_that_the_rule_chooses(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", TEXTS, TEXTS[:2])
    for kind in WHICH:
        epochs = 2 if kind == "average" else None
        sets = [f"train.weights.kind={kind}", *([f"train.weights.epochs={epochs}"] * bool(epochs))]
        run = trained(cell_of(tmp_path, corpus, *sets), tmp_path / kind)
        for which in set(WHICH) - {kind}:
            run.weights_path(which).unlink(missing_ok=True)
        assert len(list(evaluate_runs([run], ["dev"], None, "cpu", Heard()))) == 1
        stored = run.scores()["dev"]["greedy"]
        row = chosen_row(kind, run.history())
        assert (stored["checkpoint"], stored["epoch"]) == (kind, row["epoch"])
        assert stored["cer"] == row["average_dev_cer" if kind == "average" else "dev_cer"]


def test_an_average_is_not_there_before_the_last_epoch(tmp_path: Path, corpus: Path) -> None:
    setup = set_up(cell_of(tmp_path, corpus, AVERAGE), tmp_path / "results")
    with pytest.raises(Interrupted):
        train(setup, StopsAfter(11))
    heard, run = Heard(), setup.run
    assert list(evaluate_runs([run], ["dev"], None, "cpu", heard)) == []
    assert heard.lines == [f"{run}: skipped, its weights are averaged after the last epoch"]
    train(setup, Heard())
    run.weights_path("average").unlink()
    assert list(evaluate_runs([run], ["dev"], None, "cpu", heard)) == []
    assert len(heard.lines) == 2
    missing = "its weights, average.safetensors of epoch 4, are missing; restore the file"
    assert heard.lines[1].startswith(f"{run}: skipped, {missing}")


def test_recorded_runs_keep_their_identity() -> None:
    """A key that is added to the spec later does not make `train` train them again."""
    runs = Run.find([ROOT / "results" / "an4"])
    fingerprint, *others = {run.env["fingerprint"] for run in runs}
    assert others == []
    spec = ROOT / "experiments" / "an4" / "ablation.yaml"
    cells = load_study(spec, ["seeds=[0, 1, 2]"]).cells
    planned = Counter(Run.of(Path("results"), cell, fingerprint).folder for cell in cells)
    recorded = [Path("results") / run.folder.relative_to(ROOT / "results") for run in runs]
    assert len(recorded) == 18
    assert all(planned[folder] == 1 for folder in recorded)
    assert all(run.done for run in runs)
