"""What a study will cost: counted exactly, measured without leaving a file, and printed."""

import ast
import json
import os
import re
import signal
import tempfile
from dataclasses import fields, replace
from inspect import getsource
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
import torch
from tones import TEXTS, cell_of, make_corpus, sets_for, trained
from typer.testing import CliRunner

from asrbench.base.subprocess_call import SubprocessDied, call_in_subprocess
from asrbench.cli.app import app
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.spec import Cell
from asrbench.models.attention.self_attention import SelfAttention
from asrbench.models.flops import forward_flops
from asrbench.recogniser.recogniser import Recogniser
from asrbench.stages.plan import budget, estimate, outlook
from asrbench.stages.plan.estimate import Cost, Worst, flops_per_audio_second, measure
from asrbench.stages.plan.extrapolation import extrapolate
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.peak import peak_bytes, reset_peak
from asrbench.training.setup import set_up

CPU = torch.device("cpu")
HOUR = 3600.0
COST = Cost(
    parameters=3_340_000,
    trained_parameters=3_340_000,
    flops_per_audio_second=0.72e9,
    utterances=6,
    excluded=0,
    accumulate=1,
    epochs=2,
    steps=10.0,
    worst=Worst(seconds=0.5, memory_bytes=10**9, utterances=3, padded_seconds=3.0),
    train_seconds=0.9 * HOUR,
    dev_seconds=0.05 * HOUR,
    save_seconds=0.05 * HOUR,
    saves=1,
    state_bytes=3 * 10**6,
    weights_bytes=10**6,
    average_bytes=0,
    kept_bytes=0,
)
"""An hour an epoch. Disk: 2 MB when done; until then three states and a third file of weights."""


# Measuring


def test_measuring_finds_every_figure_and_leaves_no_trace(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six utterances in batches of at most 3 s, at half speed 6 s; which is worst is for memory
    to say, and so little is lost in noise."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    average = "train.weights={kind: average, epochs: 2}"
    cell = cell_of(tmp_path, corpus, "augment={speeds: [0.5, 1.0]}", average)
    before = torch.get_rng_state()
    cost = measure(cell, tmp_path / "results")
    assert torch.equal(torch.get_rng_state(), before)
    assert list(home.glob("asrbench*")) == []
    assert not (tmp_path / "results").exists()
    assert (cost.utterances, cost.excluded, cost.epochs, cost.accumulate) == (6, 0, 4, 1)
    assert 2 <= cost.steps <= 3
    assert 1 <= cost.worst.utterances <= 3
    assert 1.8 <= cost.worst.padded_seconds <= 6.0
    assert cost.worst.memory_bytes > 10**8
    for each in fields(cost):
        assert each.name == "excluded" or getattr(cost, each.name)
    # Weights in fp32, and in a state two moments of each beside them.
    assert cost.weights_bytes >= 4 * cost.parameters
    assert cost.state_bytes >= 12 * cost.parameters
    assert cost.average_bytes == cost.kept_bytes == cost.weights_bytes


def test_a_state_holds_each_of_the_best_epochs(tmp_path: Path, corpus: Path) -> None:
    average = "train.weights={kind: average, epochs: 3, of: best}"
    cost = measure(cell_of(tmp_path, corpus, average), tmp_path / "results")
    assert cost.kept_bytes == 3 * cost.weights_bytes == 3 * cost.average_bytes


@pytest.mark.parametrize("name", ["transformer_ctc", "conformer_ctc", "whisper_ctc"])
def test_encoders_without_recurrence_are_measured(name: str, tmp_path: Path, corpus: Path) -> None:
    cell = cell_of(tmp_path, corpus, *sets_for(name), "train.epochs=2")
    cost = measure(cell, tmp_path / "results")
    recogniser = Recogniser(cell, Tokenizer.of("char", ["abc"]), "", CPU)
    assert cost.parameters == recogniser.model.parameter_count
    assert cost.flops_per_audio_second > 0
    assert cost.train_seconds > 0
    assert (cost.utterances, cost.excluded) == (6, 0)


def test_what_ctc_cannot_align_is_counted(tmp_path: Path) -> None:
    """`aaaa...` needs a blank between each two: more frames than a hop of 120 ms leaves."""
    corpus = make_corpus(tmp_path / "corpus", ["abc", "a" * 20], ["abc"])
    cost = measure(cell_of(tmp_path, corpus, "features.hop_ms=120"), tmp_path)
    assert (cost.utterances, cost.excluded) == (1, 1)


def test_time_is_carried_over_by_length() -> None:
    """A step takes 1 s, 2 for a second with padding, 3 for one of the longest utterance."""
    known = [[1.0, 4.0, 2.0, 8.0], [1.0, 6.0, 1.0, 6.0], [1.0, 3.0, 3.0, 9.0], [1.0, 8.0, 4.0, 32]]
    seconds = [1 + 2 * padded + 3 * longest for _, padded, longest, _ in known]
    others = [[1.0, 5.0, 5.0, 25.0], [1.0, 1.0, 0.5, 0.5]]
    total = extrapolate(known, seconds, others)
    assert total == pytest.approx((1 + 10 + 15) + (1 + 2 + 1.5))


def test_the_peak_of_a_stretch_of_work() -> None:
    """A gigabit of ones; without it the peak is lower again."""
    reset_peak(CPU)
    low = peak_bytes(CPU)
    torch.ones(2**27, dtype=torch.uint8).sum()
    assert peak_bytes(CPU) - low >= 0.9 * 2**27


# Counting


def flops(tmp_path: Path, corpus: Path, *sets: str) -> float:
    """Of the first utterance."""
    prepared = set_up(cell_of(tmp_path, corpus, *sets), tmp_path)
    seconds = prepared.train.samples[0] / SAMPLE_RATE_HZ
    return flops_per_audio_second(prepared, 0) * float(seconds)


def test_flops_are_those_of_the_equations(tmp_path: Path, corpus: Path) -> None:
    """Self-attention over T frames of width D has four products with D x I, I being the width of
    all heads, and two with T x T, each once forward and twice backward; one of n terms is 2n."""
    cell = cell_of(tmp_path, corpus, *sets_for("ds2_selfattn"))
    attention = cell.model.encoder.attention
    assert isinstance(attention, SelfAttention)
    prepared = set_up(cell, tmp_path)
    recogniser = Recogniser(cell, prepared.tokenizer, "", CPU)
    samples = torch.tensor(prepared.train.samples[:1].copy())
    t = int(recogniser.model.encoder.lengths(recogniser.features.frames(samples)))
    d = 2 * cell.model.encoder.recurrence.width
    i = attention.heads * attention.head_dim
    more = flops(tmp_path, corpus, *sets_for("ds2_selfattn")) - flops(tmp_path, corpus)
    assert more == pytest.approx(3 * 2 * (4 * t * d * i + 2 * t * t * i))


def test_flops_do_not_depend_on_precision_or_parts(tmp_path: Path, corpus: Path) -> None:
    plain = flops(tmp_path, corpus)
    assert flops(tmp_path, corpus, "train.precision=bf16", "train.accumulate=2") == plain


def test_a_gate_more_is_a_third_of_a_gru_more(tmp_path: Path, corpus: Path) -> None:
    """torch's own LSTM has four gates to the three of ours, and an RNN one."""
    rnn, gru, lstm = (
        flops(tmp_path, corpus, f"model.encoder.recurrence.cell={cell}")
        for cell in ("rnn", "gru", "lstm")
    )
    assert (lstm - rnn) / 3 == pytest.approx((gru - rnn) / 2, rel=0.05)


@pytest.mark.parametrize("name", ["pyramid_ctc", "jasper"])
def test_other_models_are_measured(name: str, tmp_path: Path, corpus: Path) -> None:
    """Forward and backward: a training step has about three times the operations of encoding."""
    cell = cell_of(tmp_path, corpus, *sets_for(name), "train.epochs=2")
    cost = measure(cell, tmp_path / "results")
    recogniser = Recogniser(cell, Tokenizer.of("char", ["abc"]), "", CPU)
    assert cost.parameters == recogniser.model.parameter_count
    assert (cost.utterances, cost.excluded) == (6, 0)
    assert cost.train_seconds > 0
    forward = forward_flops(cell.model, cell.features, 4)
    assert 2 <= cost.flops_per_audio_second / forward <= 3.5


# What does not fit


def test_in_a_process_of_its_own() -> None:
    assert call_in_subprocess(os.getpid) != os.getpid()
    with pytest.raises(ValueError, match="invalid literal") as caught:
        call_in_subprocess(int, "x")
    assert "Traceback" in caught.value.__notes__[0]
    with pytest.raises(SubprocessDied, match="status -9"):
        call_in_subprocess(signal.raise_signal, signal.SIGKILL)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, SubprocessDied])
@pytest.mark.parametrize(("enough", "tried"), [(1, [1]), (2, [1, 2]), (9, [1, 2, 4])])
def test_what_does_not_fit_is_tried_in_more_parts(
    enough: int,
    tried: list[int],
    error: type[Exception],
    tmp_path: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Batches have three utterances at most, so no more than four micro_batches are of any use."""
    micro_batches = []

    def fits(_: object, cell: Cell, results: Path, tokenizer: object) -> Cost:
        assert tokenizer == Tokenizer.of("char", TEXTS)
        micro_batches.append(cell.train.accumulate)
        if micro_batches[-1] < enough:
            raise error
        return replace(COST, accumulate=micro_batches[-1])

    monkeypatch.setattr(estimate, "call_in_subprocess", fits)
    cell = cell_of(tmp_path, corpus, "train.batch_seconds=4")
    cost = estimate.estimate(cell, tmp_path)
    assert micro_batches == tried
    assert (cost and cost.accumulate) == (enough if enough in tried else None)


# The command


@pytest.fixture
def study(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two variants and two seeds of two epochs, whose cost is not measured but known."""
    cell_of(tmp_path, corpus)
    spec = tmp_path / "study.yaml"
    spec.write_text(
        "extends: tiny.yaml\nname: study\nseeds: [0, 1]\ntrain: {epochs: 2}\n"
        "run: {device: cpu}\nvariants:\n  a:\n  b: {model: {encoder: {recurrence: {width: 16}}}}\n"
    )
    monkeypatch.setattr(outlook, "estimate", lambda cell, results: COST)
    monkeypatch.chdir(tmp_path)
    return spec


def plan(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["plan", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return "\n".join(line.rstrip() for line in result.stdout.splitlines())


def test_the_plan_of_a_study(study: Path) -> None:
    out = plan(study, "--hours", "5", "--gpus", "1", "--set", "train.precision=fp32")
    assert max(map(len, out.splitlines())) <= 80
    assert re.search(r"a +3\.34M +0\.72 +5\.4 min +500 ms +1\.00 GB +0\n", out)
    assert re.search(r"b +2 +4 of 4 +60\.0 min +2\.0 h +4\.0 h +4 MB\n", out)
    assert out.endswith(
        "4 of 4 runs are left: 8.0 h one after another; disk: 18 MB at most\n"
        "the study takes 8.0 h and does not fit into 5 h on 1 device; what fits:\n"
        "  2 of 4 runs, in the order of the study\n"
        "  1 of 2 seeds of every variant: --seed 0\n"
        "  every run, from its start, with 1 of 2 epochs: --set train.epochs=1\n"
        "  every run, from its start, on 58 % of the data: --set train.share=0.58"
    )
    out = plan(study, "--hours", "4", "--gpus", "2")
    assert "8.0 h one after another, 4.0 h on 2 devices; disk: 28 MB at most\n" in out
    assert out.endswith("the whole study fits into 4 h on 2 devices: it takes 4.0 h")


def test_what_is_done_is_not_counted(study: Path, tmp_path: Path, corpus: Path) -> None:
    from asrbench.experiment.spec_file import load_study

    done, begun, *_ = load_study(study).cells
    trained(done, tmp_path / "results")
    run = set_up(begun, tmp_path / "results").run
    run.begin(begun, {})
    run.write_history([{"epoch": 1, "steps": 1, "train_seconds": 1.0, "dev_cer": 1.0}])
    found = json.loads(plan(study, "--json", "--hours", "1"))
    assert [each["status"] for each in found["runs"]] == ["done", "begun", "new", "new"]
    assert [each["epochs_left"] for each in found["runs"]] == [0, 1, 2, 2]
    assert [each["seconds_left"] for each in found["runs"]] == [0, HOUR, 2 * HOUR, 2 * HOUR]
    assert found["total"]["seconds_left"] == 5 * HOUR
    assert found["fit"]["runs"] == 2


def documented(*modules: ModuleType) -> set[str]:
    """The fields and properties of the classes in `modules` that have a docstring."""
    names = set()
    for module in modules:
        for record in (n for n in ast.parse(getsource(module)).body if isinstance(n, ast.ClassDef)):
            for node, following in pairwise([*record.body, ast.Pass()]):
                if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
                    names.add(node.name)
                if isinstance(node, ast.AnnAssign) and isinstance(following, ast.Expr):
                    names.add(ast.unparse(node.target))
    return names


def test_every_figure_of_the_document_is_documented(study: Path) -> None:
    found = json.loads(plan(study, "--json", "--hours", "1", "--gpus", "2"))
    assert found.pop("version") == outlook.VERSION
    names = documented(outlook, estimate, budget)
    first = found["runs"][0]
    cost, worst = first["cost"], first["cost"]["worst"]
    for each in (found, first, found["total"], found["fit"], cost, worst):
        assert each.keys() <= names
    assert found["fit"]["devices"] == 2
    assert worst["memory_bytes"] == 10**9


def test_seeds_are_measured_once(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def once(cell: Cell, results: Path) -> Cost:
        measured.append(cell.variant)
        return COST

    monkeypatch.setattr(outlook, "estimate", once)
    assert "6 of 6 runs are left" in plan(study, "--seed", "5", "--seed", "6", "--seed", "7")
    assert measured == ["a", "b"]


def test_what_does_not_fit_is_a_finding(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = {"a": None, "b": replace(COST, accumulate=4)}
    monkeypatch.setattr(outlook, "estimate", lambda cell, results: costs[cell.variant])
    out = plan(study)
    assert "a: does not fit the device, even with one utterance at a time; " in out
    assert (
        "b: its batches do not fit the device; its figures are for train.accumulate=4: set that"
    ) in out
    assert "4.0 h one after another" in out
    found = json.loads(plan(study, "--json", "--only", "a", "--hours", "1"))
    assert found["runs"][0]["cost"] is None
    assert found["fit"] is None


def test_the_estimate_of_a_command_is_measured(tmp_path: Path, corpus: Path) -> None:
    """Without a dummy batch, in its own process; every step it says there are, there are."""
    cell_of(tmp_path, corpus)
    arguments = (tmp_path / "tiny.yaml", "--device", "cpu", "--results", tmp_path / "r")
    (run,) = json.loads(plan(*arguments, "--json"))["runs"]
    assert run["cost"]["epochs"] == run["epochs_left"] == 4
    assert run["seconds_left"] == pytest.approx(4 * run["cost"]["epoch_seconds"])
    assert not (tmp_path / "r").exists()


def test_a_time_that_is_none(study: Path) -> None:
    result = CliRunner().invoke(app, ["plan", str(study), "--hours", "0"])
    assert result.exit_code == 2
    assert result.stderr == "error: --hours: found 0, allowed: more than 0\n"
