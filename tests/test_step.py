"""One step of the optimizer, of a batch as a whole and in micro_batches."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tones import cell_of, sets_for, spoken, trained

from asrbench.experiment.registry import MODELS
from asrbench.recogniser.loader import Batch, make_batch
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.epoch_metrics import EpochMetrics
from asrbench.training.step import Measures, Trainer
from asrbench.training.stopping import Diverged

INVENTORY = Tokenizer.of("char", ["abc"])
Make = Callable[..., Trainer]


@pytest.fixture
def make(tmp_path: Path, corpus: Path) -> Make:
    """A trainer of the smallest cell with the settings given, on the CPU."""

    def trainer(*sets: str) -> Trainer:
        cell = cell_of(tmp_path, corpus, "train.optimizer.clip_norm=1e9", *sets)
        return Trainer(cell, INVENTORY, "f1", torch.device("cpu"))

    return trainer


def batch_of(*texts: str) -> Batch:
    return make_batch(
        [f"{text}{i}" for i, text in enumerate(texts)],
        list(texts),
        [spoken(text) for text in texts],
        INVENTORY,
    )


def gradients(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {
        name: parameter.grad
        for name, parameter in trainer.recogniser.model.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(name: str, make: Make) -> None:
    """Each micro_batch holds one copy of the same utterances, so that batch norm sees the same."""
    whole, parted = make(*sets_for(name)), make(*sets_for(name))
    at = {"epoch": 0, "number": 0, "progress": 0.5}
    measures = whole.step([batch_of("abc", "ab", "abc", "ab")], **at)
    in_parts = parted.step([batch_of("abc", "ab"), batch_of("abc", "ab")], **at)
    torch.testing.assert_close(measures, in_parts, rtol=1e-4, atol=1e-5)
    expected, found = gradients(whole), gradients(parted)
    assert expected.keys() == found.keys()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_accumulating_leaves_the_epochs_their_steps(tmp_path: Path, corpus: Path) -> None:
    """Also where a batch has fewer utterances than micro_batches."""
    histories = []
    for micro_batches in (1, 2, 5):
        cell = cell_of(tmp_path, corpus, "train.epochs=1", f"train.accumulate={micro_batches}")
        histories.append(trained(cell, tmp_path / "results").history())
    (whole,), *others = histories
    for (parted,) in others:
        assert parted["steps"] == whole["steps"]
        assert parted["audio_seconds_per_second"] > 0
        assert parted["loss"] == pytest.approx(whole["loss"], rel=0.3)


def test_measures_are_scalars_on_the_device(make: Make) -> None:
    trainer = make()
    measures = trainer.step([batch_of("abc")], epoch=0, number=0, progress=0.0)
    *scalars, layer_norms_L = measures
    assert all(value.shape == () for value in scalars)
    assert layer_norms_L.shape == (len(trainer.layers),)
    assert not any(value.requires_grad for value in measures)
    assert measures.loss == measures.ctc
    assert measures.attention == 0
    assert trainer.idle
    assert trainer.measures_at_hand


@pytest.mark.parametrize("name", ["ds2_selfattn", "ds2_crossattn"])
def test_norms_are_those_of_the_gradient_before_it_is_clipped(name: str, make: Make) -> None:
    free, clipped = make(*sets_for(name)), make(*sets_for(name), "train.optimizer.clip_norm=0.1")
    at = {"epoch": 0, "number": 0, "progress": 0.5}
    measures = free.step([batch_of("abc")], **at)
    assert torch.equal(clipped.step([batch_of("abc")], **at).layer_norms_L, measures.layer_norms_L)
    found = gradients(free)
    whole = torch.cat([gradient.flatten() for gradient in found.values()])
    torch.testing.assert_close(measures.gradient_norm, whole.norm(), rtol=1e-4, atol=0)
    expected = {
        layer: torch.cat([g.flatten() for n, g in found.items() if f"{n}.".startswith(f"{layer}.")])
        for layer in free.layers
    }
    assert list(expected)[:2] == ["front_end", "recurrence.0"]
    assert {"attention.0", "decoder"} & set(expected)
    norms_L = torch.stack([gradient.norm() for gradient in expected.values()])
    torch.testing.assert_close(measures.layer_norms_L, norms_L, rtol=1e-4, atol=0)
    for layer, gradient in gradients(clipped).items():
        torch.testing.assert_close(
            gradient, found[layer] * 0.1 / whole.norm(), rtol=1e-3, atol=1e-8
        )


def test_the_two_losses_of_a_decoder_make_the_whole(make: Make) -> None:
    trainer = make(*sets_for("ds2_crossattn"))
    weight = trainer.cell.model.decoder.ctc_weight  # type: ignore[union-attr]
    loss, ctc, attention, *_ = trainer.step([batch_of("abc")], epoch=0, number=0, progress=0.0)
    torch.testing.assert_close(loss, weight * ctc + (1 - weight) * attention)


def test_the_rate_follows_progress(make: Make) -> None:
    trainer = make("train.schedule={kind: cosine, warmup: 0.5}")
    trainer.step([batch_of("abc")], epoch=0, number=0, progress=0.25)
    assert trainer.learning_rate == pytest.approx(0.005)


def test_dropout_is_keyed_by_step_and_part(make: Make) -> None:
    """The same step draws the same; another one, or another micro_batch, does not."""

    def loss(number: int, micro_batches: int) -> float:
        trainer = make("model.recurrence.dropout=0.5")
        batches = [batch_of("abcabc")] * micro_batches
        return trainer.step(batches, epoch=0, number=number, progress=0.0).loss.item()

    assert loss(0, 1) == loss(0, 1)
    assert loss(0, 1) != loss(1, 1)
    assert loss(0, 2) != pytest.approx(2 * loss(0, 1), rel=1e-6)


def measures(loss: float, norm: float = 1.0) -> Measures:
    scalars = map(torch.tensor, (loss, loss, 0.0, norm))
    return Measures(*scalars, torch.tensor([norm, 2 * norm]))


def test_a_tally_reads_all_that_is_unread_once() -> None:
    metrics = EpochMetrics()
    for step, loss in enumerate((3.0, 4.0), start=1):
        metrics.add([batch_of("abc"), batch_of("a")], step, measures(loss))
    assert (metrics.batches, metrics.characters, metrics.loss) == (2, 0, 0.0)
    metrics.read()
    metrics.read()
    assert (metrics.loss, metrics.ctc, metrics.gradient_norm) == (7.0, 7.0, 2.0)
    assert metrics.layer_norms == [2.0, 4.0]
    assert (metrics.characters, metrics.audio_seconds) == (8, pytest.approx(2.4))
    assert EpochMetrics(**metrics.plain()) == metrics


@pytest.mark.parametrize(
    ("bad", "what"),
    [(measures(float("nan")), "loss is nan"), (measures(1.0, float("inf")), "norm is inf")],
)
def test_a_tally_names_the_first_step_that_made_no_number(bad: Measures, what: str) -> None:
    metrics = EpochMetrics()
    for step, each in enumerate((measures(1.0), bad, bad), start=1):
        metrics.add([batch_of("abc"), batch_of("ab")], step, each)
    with pytest.raises(Diverged, match=rf"{what} at step 2, utterances abc0, ab0, "):
        metrics.plain()
