"""`train.freeze`: what is frozen does not change, and everything else is trained as before."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tones import Heard, StopsAfter, cell_of, same_weights, trained
from torch import nn
from typer.testing import CliRunner

from asrbench.base.errors import UserError
from asrbench.cli.app import app
from asrbench.experiment.spec import Cell
from asrbench.models.layers.masking import MaskedBatchNorm
from asrbench.recogniser.recogniser import Recogniser
from asrbench.training.freezing import freeze
from asrbench.training.loop import train
from asrbench.training.setup import TrainingSetup, set_up
from asrbench.training.step import Trainer
from asrbench.training.stopping import Interrupted

SMALL_LSTM = "model.encoder.recurrence={cell: lstm, layers: 1, width: 32, dropout: 0.0}"
DEEP = ("model.encoder.recurrence={layers: 2, dropout: 0.3}",)
LOWER = "train.freeze=[encoder.front_end, encoder.recurrence.0]"
PREFIXES = ("encoder.front_end.", "encoder.recurrence.0.")


def frozen_cell(tmp_path: Path, corpus: Path, *sets: str) -> Cell:
    return cell_of(tmp_path, corpus, *DEEP, LOWER, *sets)


def trainer_of(setup: TrainingSetup) -> Trainer:
    return Trainer(setup.cell, setup.tokenizer, setup.corpus.fingerprint, setup.device)


def drawn(setup: TrainingSetup) -> dict[str, torch.Tensor]:
    """The state of the model before training."""
    fingerprint = setup.corpus.fingerprint
    return Recogniser(setup.cell, setup.tokenizer, fingerprint, setup.device).model.state_dict()


def changed(setup: TrainingSetup, which: str = "last") -> set[str]:
    before, after = drawn(setup), load_file(setup.run.weights_path(which))
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_frozen_parameters_and_statistics_keep_their_bits_and_the_others_change(
    accumulate: int, tmp_path: Path, corpus: Path
) -> None:
    """With the average of several epochs, whose mean of equal numbers could round."""
    cell = frozen_cell(
        tmp_path,
        corpus,
        f"train.accumulate={accumulate}",
        "train.epochs=7",
        "train.weights={kind: average, epochs: 7}",
    )
    setup = set_up(cell, tmp_path / "results")
    train(setup, Heard())
    names = set(drawn(setup))
    frozen = {name for name in names if name.startswith(PREFIXES)}
    assert any(name.endswith("running_var") for name in frozen)
    for which in ("last", "best", "average"):
        assert changed(setup, which) == names - frozen
    for row in setup.run.history():
        assert set(row["layer_gradient_norms"]) == {"recurrence.1", "norm", "head"}
        assert all(norm > 0 for norm in row["layer_gradient_norms"].values())


def test_a_run_with_frozen_modules_that_was_stopped_equals_one_that_was_not(
    tmp_path: Path, corpus: Path
) -> None:
    cell = frozen_cell(tmp_path, corpus, "train.epochs=2")
    whole = trained(cell, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(set_up(cell, tmp_path / "halves"), StopsAfter(3))
    halves = trained(cell, tmp_path / "halves")
    assert same_weights(whole, halves)
    assert same_weights(whole, halves, "best")


def test_a_frozen_module_computes_in_training_as_in_eval(tmp_path: Path, corpus: Path) -> None:
    """Its dropout is off and its norms use their running statistics; those above are on."""
    trainer = trainer_of(set_up(frozen_cell(tmp_path, corpus), tmp_path / "results"))
    model = trainer.recogniser.model
    trainer.recogniser.model.train()
    trainer.frozen.hold()
    modes = {
        name: module.training
        for name, module in model.named_modules()
        if isinstance(module, (MaskedBatchNorm, nn.Dropout))
    }
    assert {name for name, training in modes.items() if not training} == {
        name for name in modes if name.startswith(PREFIXES)
    }
    assert len(set(modes.values())) == 2


def test_recurrent_layers_keep_training_mode_for_cudnn(tmp_path: Path, corpus: Path) -> None:
    """cuDNN has no backward pass of a recurrent layer in eval mode; a layer below is trained."""
    cell = cell_of(tmp_path, corpus, *DEEP, "train.freeze=[encoder.recurrence.1]")
    trainer = trainer_of(set_up(cell, tmp_path / "results"))
    trainer.recogniser.model.train()
    trainer.frozen.hold()
    frozen = trainer.recogniser.model.get_submodule("encoder.recurrence.1")
    assert not frozen.training
    layers = [each for each in frozen.modules() if isinstance(each, nn.RNNBase)]
    assert len(layers) == 2
    assert all(each.training and each.dropout == 0 for each in layers)


def test_frozen_parameters_are_not_in_the_optimizer(tmp_path: Path, corpus: Path) -> None:
    """So they have no weight decay and no moments."""
    trainer = trainer_of(set_up(frozen_cell(tmp_path, corpus), tmp_path / "results"))
    named = dict(trainer.recogniser.model.named_parameters())
    optimized = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert optimized == {id(p) for name, p in named.items() if not name.startswith(PREFIXES)}


def test_the_log_and_env_say_how_many_are_trained(tmp_path: Path, corpus: Path) -> None:
    setup = set_up(frozen_cell(tmp_path, corpus, "train.epochs=1"), tmp_path / "results")
    heard = Heard()
    train(setup, heard)
    model = trainer_of(setup).recogniser.model
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    trained = sum(size for name, size in sizes.items() if not name.startswith(PREFIXES))
    env = setup.run.env
    assert (env["parameters"], env["trained_parameters"]) == (sum(sizes.values()), trained)
    assert f"{sum(sizes.values()):,} parameters, {trained:,} trained" in heard.lines[0]
    whole = trained_env(tmp_path, corpus)
    assert whole["parameters"] == env["parameters"]
    assert "trained_parameters" not in whole


def trained_env(tmp_path: Path, corpus: Path) -> dict[str, int]:
    cell = cell_of(tmp_path, corpus, *DEEP, "train.epochs=1")
    return trained(cell, tmp_path / "results").env


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            "[encoder.frontend]",
            "train.freeze: found 'encoder.frontend', which is no module and no parameter of the "
            "model; allowed within encoder: encoder.front_end, encoder.norm, encoder.recurrence; "
            "did you mean 'encoder.front_end'?",
        ),
        (
            "[decoder]",
            "train.freeze: found 'decoder', which is no module and no parameter of the model; "
            "allowed: encoder, head; did you mean 'encoder'?",
        ),
        (
            "[encoder, head]",
            "train.freeze: found encoder, head, which leaves no parameter to train; take a name "
            "out",
        ),
    ],
)
def test_names_that_cannot_be_frozen_are_one_line_and_nothing_is_created(
    names: str, expected: str, tmp_path: Path, corpus: Path
) -> None:
    cell = cell_of(tmp_path, corpus, f"train.freeze={names}")
    with pytest.raises(UserError) as error:
        set_up(cell, tmp_path / "results")
    assert str(error.value) == expected
    arguments = ["train", str(tmp_path / "tiny.yaml"), "--set", f"train.freeze={names}"]
    done = CliRunner().invoke(app, [*arguments, "--results", str(tmp_path / "results")])
    assert done.exit_code == 2
    assert not (tmp_path / "results").exists()


def test_a_parameter_alone_can_be_frozen() -> None:
    """Its module is trained still, so its norm follows the batches."""
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    found = freeze(model, ["0.weight"])
    assert (found.modules, found.tensors) == ((), {"0.weight"})
    both = freeze(model, ["0.weight", "0.bias"])
    assert both.modules == (model[0],)
    assert both.tensors == {f"0.{name}" for name in model[0].state_dict()}


@pytest.mark.parametrize("name", ["ds2", "rnnt"])
def test_the_encoder_can_be_frozen_as_a_whole(name: str, tmp_path: Path, corpus: Path) -> None:
    sizes = ("model.head={prediction: {width: 32}, joiner: 64}",) if name == "rnnt" else ()
    sets = (f"model.name={name}", *sizes, "train.epochs=1", "train.freeze=[encoder]")
    setup = set_up(cell_of(tmp_path, corpus, *sets, SMALL_LSTM), tmp_path / "results")
    train(setup, Heard())
    assert changed(setup) == {each for each in drawn(setup) if each.startswith("head.")}


def test_the_head_can_be_frozen_and_still_computes_the_losses_of_training(
    tmp_path: Path, corpus: Path
) -> None:
    """CR-CTC compares two views of each utterance in training; the views go on."""
    sets = ("model.head.consistency={weight: 0.2}", "train.epochs=1", "train.freeze=[head]")
    masks = ("augment.frequency_masks=2", "augment.time_masks=2")
    setup = set_up(cell_of(tmp_path, corpus, *sets, *masks), tmp_path / "results")
    train(setup, Heard())
    assert setup.run.history()[0]["consistency_loss"] > 0
    assert all(each.startswith("encoder.") for each in changed(setup))


def test_plan_says_how_many_are_trained(tmp_path: Path, corpus: Path) -> None:
    frozen_cell(tmp_path, corpus)
    sets = [f"--set={each}" for each in (*DEEP, LOWER, "train.epochs=1")]
    folder = str(tmp_path / "results")
    done = CliRunner().invoke(
        app,
        ["plan", str(tmp_path / "tiny.yaml"), *sets, "--results", folder],
        env={"COLUMNS": "200"},
    )
    assert done.exit_code == 0, done.output
    assert "M trained)" in done.output
