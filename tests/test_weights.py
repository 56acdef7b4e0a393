"""The rule of the spec chooses the weights that are tested, and an average is an average."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
from asrbench.training import dev_pass, loop
from asrbench.training.checkpoint import State
from asrbench.training.loop import train
from asrbench.training.setup import set_up
from asrbench.training.stopping import Interrupted
from asrbench.training.weight_average import WeightAverage

ROOT = Path(__file__).parents[1]
AVERAGE = "train.weights={kind: average, epochs: 2}"
BEST_TWO = "train.weights={kind: average, epochs: 2, of: best}"
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


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 12))
def test_the_best_epochs_are_those_of_a_sort_at_the_end(rates: list[int], count: int) -> None:
    """Of equal rates the earlier epoch is the better, as for `best`; no more are ever kept."""
    average, model = WeightAverage(), torch.nn.Linear(1, 1)
    for epoch in range(len(rates)):
        torch.nn.init.constant_(model.weight, float(2**epoch))
        average.keep_best(model, rates[: epoch + 1], count)
        assert len(average.best) == min(count, epoch + 1)
    best = sorted(range(len(rates)), key=lambda epoch: (rates[epoch], epoch))[:count]
    average.add_best()
    assert (average.epochs, average.best) == (len(best), {})
    assert float(average.mean()["weight"]) == pytest.approx(sum(2**e for e in best) / len(best))


class KeepsEpochs(Heard):
    """Keeps the weights after each epoch."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.weights: list[dict[str, torch.Tensor]] = []

    def say(self, line: str) -> None:
        super().say(line)
        if line.startswith("epoch "):
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


RATES = (0.3, 0.9, 0.1, 0.8)
"""Dev CERs of four epochs, of which the first and the third are the best two."""


def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the dev CER of each epoch that of `RATES`, and of the average 0.05."""
    found = dev_pass.evaluate_epoch

    def evaluate_epoch(state: State, *others: Any) -> dict[str, Any]:
        rates = iter((RATES[state.epoch], 0.05))
        with monkeypatch.context() as patch:
            edits = lambda *_: SimpleNamespace(rate=next(rates), n=10)  # noqa: E731
            patch.setattr(dev_pass, "_edits", edits)
            return found(state, *others)

    monkeypatch.setattr(loop, "evaluate_epoch", evaluate_epoch)


def test_a_run_averages_its_best_epochs(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch)
    setup = set_up(cell_of(tmp_path, corpus, BEST_TWO), tmp_path / "results")
    heard = KeepsEpochs(setup.run)
    train(setup, heard)
    first, _, third, _ = heard.weights
    for name, weight in load_file(setup.run.weights_path("average")).items():
        torch.testing.assert_close(weight, (first[name] + third[name]) / 2)
    assert [row["dev_cer"] for row in setup.run.history()] == list(RATES)
    assert setup.run.history()[-1]["average_dev_cer"] == 0.05
    assert setup.run.state_paths() == []
    words = "the mean of the weights after each of the 2 epochs with the lowest dev CERs"
    assert setup.cell.train.tested_weights == words


@pytest.mark.parametrize("steps", [4, 6, 10, 12])
def test_the_average_of_the_best_epochs_is_the_same_after_a_stop_or_a_damaged_state(
    steps: int, tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three steps an epoch; epochs overtake others before and after the stop."""
    scripted(monkeypatch)
    every = "run.checkpoint_minutes=1e-9"
    cell = cell_of(tmp_path, corpus, BEST_TWO, "train.batch_seconds=2", every)
    whole = trained(cell, tmp_path / "whole")
    for damaged in (False, True):
        setup = set_up(cell, tmp_path / f"halves{damaged}")
        with pytest.raises(Interrupted):
            train(setup, StopsAfter(steps))
        if damaged:
            newest = setup.run.state_paths()[0]
            newest.write_bytes(newest.read_bytes()[:-1])
        train(setup, Heard())
        assert same_weights(whole, setup.run, "average")
        assert not same_weights(whole, setup.run, "average", "last")


def test_last_is_the_default_and_no_part_of_the_identity(tmp_path: Path, corpus: Path) -> None:
    plain, last, best = (
        cell_of(tmp_path, corpus, sets).identity("f1")
        for sets in (AVERAGE, AVERAGE.replace("}", ", of: last}"), BEST_TWO)
    )
    assert plain == last != best


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
    published = ROOT / "results" / "published"
    runs = Run.find([published / "an4"])
    fingerprint, *others = {run.env["fingerprint"] for run in runs}
    assert others == []
    spec = ROOT / "experiments" / "an4" / "ablation.yaml"
    cells = load_study(spec, ["seeds=[0, 1, 2]"]).cells
    planned = Counter(Run.of(Path("results"), cell, fingerprint).folder for cell in cells)
    recorded = [Path("results") / run.folder.relative_to(published) for run in runs]
    assert len(recorded) == 18
    assert all(planned[folder] == 1 for folder in recorded)
    assert all(run.done for run in runs)
