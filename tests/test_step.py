"""One step of the optimizer, on a batch as a whole and in micro-batches."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from tones import cell_of, sets_for, spoken, trained

from asrbench.experiment.registry import MODELS
from asrbench.models.heads.ctc_attention import CtcAttentionSpec
from asrbench.recogniser.loader import Batch, make_batch
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.epoch_metrics import EpochMetrics
from asrbench.training.step import StepMetrics, Trainer
from asrbench.training.stopping import Diverged

TOKENIZER = Tokenizer.of("char", ["abc"])
Make = Callable[..., Trainer]


@pytest.fixture
def make(tmp_path: Path, corpus: Path) -> Make:
    """A trainer of the smallest cell with the settings given, on the CPU."""

    def trainer(*sets: str) -> Trainer:
        cell = cell_of(tmp_path, corpus, "train.optimizer.clip_norm=1e9", *sets)
        return Trainer(cell, TOKENIZER, "f1", torch.device("cpu"))

    return trainer


def batch_of(*texts: str) -> Batch:
    return make_batch(
        [f"{text}{i}" for i, text in enumerate(texts)],
        list(texts),
        [spoken(text) for text in texts],
        TOKENIZER,
    )


def gradients(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {
        name: parameter.grad
        for name, parameter in trainer.recogniser.model.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(name: str, make: Make) -> None:
    """Each micro-batch holds one copy of the same utterances, so that batch norm sees the same."""
    whole, parted = make(*sets_for(name)), make(*sets_for(name))
    at = {"epoch": 0, "number": 0, "progress": 0.5}
    metrics = whole.step([batch_of("abc", "ab", "abc", "ab")], **at)
    in_parts = parted.step([batch_of("abc", "ab"), batch_of("abc", "ab")], **at)
    torch.testing.assert_close(asdict(metrics), asdict(in_parts), rtol=1e-4, atol=1e-5)
    expected, found = gradients(whole), gradients(parted)
    assert expected.keys() == found.keys()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_accumulating_leaves_the_epochs_their_steps(tmp_path: Path, corpus: Path) -> None:
    """Also where a batch has fewer utterances than micro-batches."""
    histories = []
    for micro_batches in (1, 2, 5):
        cell = cell_of(tmp_path, corpus, "train.epochs=1", f"train.accumulate={micro_batches}")
        histories.append(trained(cell, tmp_path / "results").history())
    (whole,), *others = histories
    for (parted,) in others:
        assert parted["steps"] == whole["steps"]
        assert parted["audio_seconds_per_second"] > 0
        assert parted["loss"] == pytest.approx(whole["loss"], rel=0.3)


@pytest.mark.parametrize(
    ("name", "losses"),
    [("ds2", ["total"]), ("ds2_crossattn", ["total", "ctc", "attention"])],
)
def test_a_step_measures_scalars_on_the_device(name: str, losses: list[str], make: Make) -> None:
    trainer = make(*sets_for(name))
    metrics = trainer.step([batch_of("abc")], epoch=0, number=0, progress=0.0)
    assert list(metrics.losses) == losses
    scalars = [*metrics.losses.values(), metrics.gradient_norm]
    assert all(value.shape == () for value in scalars)
    assert metrics.layer_norms_L.shape == (len(trainer.layers),)
    assert not any(value.requires_grad for value in (*scalars, metrics.layer_norms_L))
    assert trainer.idle
    assert trainer.metrics_at_hand


@pytest.mark.parametrize("name", ["ds2_selfattn", "ds2_crossattn"])
def test_norms_are_those_of_the_gradient_before_it_is_clipped(name: str, make: Make) -> None:
    free, clipped = make(*sets_for(name)), make(*sets_for(name), "train.optimizer.clip_norm=0.1")
    at = {"epoch": 0, "number": 0, "progress": 0.5}
    metrics = free.step([batch_of("abc")], **at)
    assert torch.equal(clipped.step([batch_of("abc")], **at).layer_norms_L, metrics.layer_norms_L)
    found = gradients(free)
    whole = torch.cat([gradient.flatten() for gradient in found.values()])
    torch.testing.assert_close(metrics.gradient_norm, whole.norm(), rtol=1e-4, atol=0)
    # The head's linear layer is reported as `head`; other layers by their path within their part.
    places = {layer: (f"encoder.{layer}.", f"head.{layer}.") for layer in free.layers}
    places["head"] = ("head.output.",)
    expected = {
        layer: torch.cat([g.flatten() for n, g in found.items() if n.startswith(places[layer])])
        for layer in free.layers
    }
    assert list(expected)[:2] == ["front_end", "recurrence.0"]
    assert {"attention.0", "decoder"} & set(expected)
    norms_L = torch.stack([gradient.norm() for gradient in expected.values()])
    torch.testing.assert_close(metrics.layer_norms_L, norms_L, rtol=1e-4, atol=0)
    for layer, gradient in gradients(clipped).items():
        torch.testing.assert_close(
            gradient, found[layer] * 0.1 / whole.norm(), rtol=1e-3, atol=1e-8
        )


def test_the_two_losses_of_a_decoder_make_the_whole(make: Make) -> None:
    trainer = make(*sets_for("ds2_crossattn"))
    assert isinstance(trainer.cell.model.head, CtcAttentionSpec)
    weight = trainer.cell.model.head.ctc_weight
    losses = trainer.step([batch_of("abc")], epoch=0, number=0, progress=0.0).losses
    expected = weight * losses["ctc"] + (1 - weight) * losses["attention"]
    torch.testing.assert_close(losses["total"], expected)


def test_the_rate_follows_progress(make: Make) -> None:
    trainer = make("train.schedule={kind: cosine, warmup: 0.5}")
    trainer.step([batch_of("abc")], epoch=0, number=0, progress=0.25)
    assert trainer.learning_rate == pytest.approx(0.005)


def test_dropout_is_keyed_by_step_and_part(make: Make) -> None:
    """The same step draws the same; another one, or another micro-batch, does not."""

    def loss(number: int, micro_batches: int) -> float:
        trainer = make("model.encoder.recurrence.dropout=0.5")
        batches = [batch_of("abcabc")] * micro_batches
        return trainer.step(batches, epoch=0, number=number, progress=0.0).losses["total"].item()

    assert loss(0, 1) == loss(0, 1)
    assert loss(0, 1) != loss(1, 1)
    assert loss(0, 2) != pytest.approx(2 * loss(0, 1), rel=1e-6)


def step_metrics(loss: float, norm: float = 1.0) -> StepMetrics:
    losses = {"total": torch.tensor(loss), "ctc": torch.tensor(2 * loss)}
    return StepMetrics(losses, torch.tensor(norm), torch.tensor([norm, 2 * norm]))


def test_an_epoch_reads_all_that_is_unread_once() -> None:
    """Seven nats over the eight characters of two steps of `abc` and `a`."""
    metrics = EpochMetrics()
    for step, loss in enumerate((3.0, 4.0), start=1):
        metrics.add([batch_of("abc"), batch_of("a")], step, step_metrics(loss))
    assert (metrics.batches, metrics.characters, metrics.loss) == (2, 0, 0.0)
    metrics.read()
    metrics.read()
    assert metrics.losses == {"total": 7.0, "ctc": 14.0}
    assert (metrics.loss, metrics.loss_parts()) == (7 / 8, {"ctc": 14 / 8})
    assert metrics.gradient_norm == 2.0
    assert metrics.layer_norms == [2.0, 4.0]
    assert (metrics.characters, metrics.audio_seconds) == (8, pytest.approx(2.4))
    assert EpochMetrics(**metrics.plain()) == metrics


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (step_metrics(float("nan")), "loss is nan"),
        (step_metrics(1.0, float("inf")), "norm is inf"),
    ],
)
def test_an_epoch_names_the_first_step_that_is_not_finite(bad: StepMetrics, what: str) -> None:
    metrics = EpochMetrics()
    for step, each in enumerate((step_metrics(1.0), bad, bad), start=1):
        metrics.add([batch_of("abc"), batch_of("ab")], step, each)
    with pytest.raises(Diverged, match=rf"{what} at step 2, utterances abc0, ab0, "):
        metrics.plain()
