"""Weights and states of another shape are refused in one line, even if their digest is right."""

import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from doors import error, run
from mutations import other_value, refusal, without_key
from safetensors.torch import load_file, save_file
from tones import Heard, StopsAfter, cell_of, trained

from asrbench.base.errors import UserError
from asrbench.base.files import digest, read_json
from asrbench.base.reporting import Silent
from asrbench.experiment.run_folder import Run
from asrbench.recogniser import weights_file
from asrbench.recogniser.recogniser import Recogniser
from asrbench.stages.evaluate import evaluate_runs
from asrbench.training.checkpoint import State, resume
from asrbench.training.loop import train
from asrbench.training.setup import TrainingSetup, set_up
from asrbench.training.step import Trainer
from asrbench.training.stopping import Interrupted


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> TrainingSetup:
    """A run that was stopped after its first epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    setup = set_up(cell_of(folder, corpus, "train.epochs=3"), folder / "results")
    with pytest.raises(Interrupted):
        train(setup, StopsAfter(4))
    return setup


def test_metadata_of_another_shape_is_refused_or_read(
    stopped: TrainingSetup, tmp_path: Path
) -> None:
    """As weights of a version that had no digest."""
    best = stopped.run.weights_path("best")
    metadata, _ = weights_file.read(best)
    text = metadata.model_copy(update={"digest": None}).model_dump_json(exclude_none=True).encode()
    weights, draw, path = load_file(best), random.Random(7), tmp_path / "best.safetensors"
    refused = 0
    for number in range(150):
        changed = (without_key, other_value)[number % 2](text, draw)
        save_file(weights, path, {"asrbench": changed.decode()})
        refused += refusal(lambda: Recogniser.load(path, torch.device("cpu"))) is not None
        Recogniser.epoch_of(path)
        Recogniser.tokenizer_of(path)
    assert refused > 75


def test_weights_of_another_model_are_refused(stopped: TrainingSetup, tmp_path: Path) -> None:
    metadata, weights = weights_file.read(stopped.run.weights_path("best"))
    name, path = max(weights), tmp_path / "best.safetensors"
    for changed in (weights | {"new": torch.zeros(1)}, weights | {name: torch.zeros(3, 5)}):
        weights_file.write(path, changed, metadata)
        said = refusal(lambda: Recogniser.load(path, torch.device("cpu")))
        assert said is not None
        assert "found a checkpoint of another version" in said


def test_a_state_of_another_shape_is_refused(stopped: TrainingSetup) -> None:
    run = stopped.run
    (newest, *_) = run.state_paths()
    stored = torch.load(newest, weights_only=True)
    for key in stored:
        for value in (None, 3, "x", [], {}):
            _replace_states(run, {**stored, key: value})
            _resumed(stopped)
        _replace_states(run, {name: each for name, each in stored.items() if name != key})
        said = _resumed(stopped)
        assert said is not None or key == "average"
    _replace_states(run, stored)
    assert _resumed(stopped) is None


def test_a_state_that_is_no_file_is_not_waited_for(stopped: TrainingSetup) -> None:
    (newest, *_) = stopped.run.state_paths()
    for number, make in enumerate(
        (os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path))
    ):
        path = newest.with_name(f"state-{99 + number}-0123456789abcdef.pt")
        make(path)
        assert stopped.run.state_paths()[0] == newest
        assert _resumed(stopped) is None
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_torn_history_does_not_stop_training_that_has_a_state(stopped: TrainingSetup) -> None:
    run = stopped.run
    whole = run.history_path.read_bytes()
    run.history_path.write_bytes(whole + b'{"epoch": 2, "st')
    assert refusal(run.history) is not None
    assert not run.done
    assert _resumed(stopped) is None
    assert run.history_path.read_bytes() == whole


def test_a_run_that_cannot_be_read_stops_no_other(tmp_path: Path, corpus: Path) -> None:
    cells = [cell_of(tmp_path, corpus, f"train.epochs={epochs}") for epochs in (1, 2)]
    damaged, whole = (trained(cell, tmp_path / "results") for cell in cells)
    best = _last_bit_flipped(damaged.weights_path("best"))
    heard = Heard()
    found = evaluate_runs([damaged, whole], ["dev"], None, "cpu", heard)
    assert next(found).run == whole
    with pytest.raises(UserError, match=r"^1 of 2 runs were skipped: .*best.*: is damaged"):
        next(found)
    assert heard.lines[0].startswith(f"{damaged}: skipped, {best}: is damaged")
    with pytest.raises(UserError, match="is damaged"):
        list(evaluate_runs([damaged], ["dev"], None, "cpu", heard))


def test_a_run_that_cannot_be_read_stops_no_inspection_of_the_others(
    tmp_path: Path, corpus: Path
) -> None:
    cells = [
        cell_of(tmp_path, corpus, "model.encoder.recurrence.layers=2", f"train.epochs={epochs}")
        for epochs in (1, 2, 3)
    ]
    torn, flipped, whole = (trained(cell, tmp_path / "results") for cell in cells)
    torn.history_path.write_text('{"epoch": 1, "st')
    best = _last_bit_flipped(flipped.weights_path("best"))
    code, out, err = run("inspect", torn, flipped, whole, "--split", "dev", "--count", "1")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: 2 of 3 runs were skipped: ")
    assert f"{torn}: skipped, {torn.history_path}, line 1: " in out
    assert f"{flipped}: skipped, {best}: is damaged" in out
    inspected = [each for each in (torn, flipped, whole) if each.inspect_path("dev").is_file()]
    assert inspected == [whole]
    gradients = read_json(torn.folder / "gradients.json")["variants"]["ds2"]
    assert [len(each["epochs"]) for each in gradients] == [3]
    assert error("inspect", flipped, "--split", "dev").startswith(f"{best}: is damaged")


def _last_bit_flipped(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return path


def _replace_states(run: Run, stored: Any) -> None:
    for path in run.state_paths():
        path.unlink()
    path = run.state_path(4, "new")
    torch.save(stored, path)
    path.rename(run.state_path(4, digest(path)))


def _resumed(setup: TrainingSetup) -> str | None:
    fingerprint = setup.corpus.fingerprint
    state = State(Trainer(setup.cell, setup.tokenizer, fingerprint, setup.device))
    return refusal(lambda: resume(state, setup.run, Silent()))
