"""What can be added to the CTC loss: layers in between, and two views that should agree.

Legend: B batch, T frames, V symbols with the blank.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import batch, build, close, fresh, padded_targets, small
from tones import cell_of, make_corpus, spoken, trained

from asrbench.base.errors import UserError
from asrbench.experiment.spec import ADDED_LATER, RecordedCell
from asrbench.experiment.spec_file import load_cell
from asrbench.models.heads.ctc import Ctc, ctc_loss, divergence
from asrbench.models.heads.head import Encoded, Losses, Targets
from asrbench.models.model import Model
from asrbench.recogniser.loader import Batch, make_batch
from asrbench.stages.plan.estimate import flops_per_audio_second
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.augmentation import mask_spectrum
from asrbench.training.setup import set_up
from asrbench.training.step import Trainer

TOKENIZER = Tokenizer.of("char", ["abc"])
LENGTHS = [37, 61, 37, 61]
"""Two utterances in two views, one view after the other."""
TARGETS = [[1, 2, 2, 3], [5, 1, 6]] * 2
INTERMEDIATE: dict[str, Any] = {"intermediate": {"layers": [1], "weight": 0.25}}
CONSISTENCY: dict[str, Any] = {"consistency": {"weight": 0.5}}
BOTH = INTERMEDIATE | CONSISTENCY
OPTIONS = pytest.mark.parametrize("options", [INTERMEDIATE, CONSISTENCY, BOTH])


def model_with(options: dict[str, Any], make: Callable[..., Model] = build) -> Model:
    return make(small("ds2", head=options)).train()


def losses_of(model: Model, more: int = 0) -> Losses:
    losses: Losses = model(*batch(LENGTHS, more), *padded_targets(TARGETS))
    return losses


def encoded_of(model: Model) -> tuple[Encoded, Targets]:
    return model.encode(*batch(LENGTHS)), padded_targets(TARGETS)


# Layers in between


def test_layers_in_between_have_the_mean_ctc_loss_through_the_same_layer() -> None:
    options = {"intermediate": {"layers": [1, 2], "weight": 0.25}}
    model = model_with(options)
    encoded, targets = encoded_of(model)
    assert len(encoded.taps) == 2
    head = model.head
    assert isinstance(head, Ctc)
    ctc = ctc_loss(head.log_probs(encoded), encoded, targets)
    parts = []
    for tap_BTD in encoded.taps:
        centred_BTD = tap_BTD - tap_BTD.mean(-1, keepdim=True)
        scale_BT1 = (centred_BTD.square().mean(-1, keepdim=True) + 1e-5).rsqrt()
        logits_BTV = head.output(centred_BTD * scale_BT1)
        parts.append(ctc_loss(logits_BTV.log_softmax(-1), encoded, targets))
    found = head.losses(encoded, targets)
    assert list(found) == ["total", "ctc", "intermediate"]
    close(found["ctc"], ctc)
    close(found["intermediate"], (parts[0] + parts[1]) / 2)
    close(found["total"], 0.75 * ctc + 0.25 * found["intermediate"])


def test_the_layer_that_is_tapped_last_is_the_last_of_the_stack() -> None:
    """The norm of DeepSpeech2 follows it, and is the layer norm as training begins with it."""
    model = model_with({"intermediate": {"layers": [2]}}, fresh)
    found = losses_of(model)
    close(found["intermediate"], found["ctc"])


def test_a_layer_that_the_encoder_does_not_have_is_one_line() -> None:
    message = "model.head: found layer 3 of the encoder, allowed: 1 to 2, because 'deepspeech2'"
    with pytest.raises(UserError, match=message):
        model_with({"intermediate": {"layers": [1, 3]}})


# Two views


def test_the_divergence_is_that_of_both_views_to_each_other() -> None:
    generator = torch.Generator().manual_seed(1)
    log_probs_BTV = torch.randn(4, 6, 5, generator=generator).log_softmax(-1)
    lengths = [6, 3]
    mask_BT = torch.arange(6) < torch.tensor(lengths * 2)[:, None]
    expected = 0.0
    for b, length in enumerate(lengths):
        for t in range(length):
            one, other = log_probs_BTV[b, t], log_probs_BTV[b + 2, t]
            expected += 0.5 * float((one.exp() * (one - other)).sum())
            expected += 0.5 * float((other.exp() * (other - one)).sum())
    assert float(divergence(log_probs_BTV, mask_BT)) == pytest.approx(expected, rel=1e-5)
    same_BTV = log_probs_BTV[:2].repeat(2, 1, 1)
    assert float(divergence(same_BTV, mask_BT)) == pytest.approx(0, abs=1e-6)


def test_each_view_is_drawn_to_the_other_whose_posteriors_stay() -> None:
    """Of KL(q || softmax(z)) with q constant, the gradient is softmax(z) - q; padding has none."""
    logits_BTV = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(2)).requires_grad_()
    mask_BT = torch.tensor([[True, True, True, False]]).repeat(2, 1)
    divergence(logits_BTV.log_softmax(-1), mask_BT).backward()
    probs_BTV = logits_BTV.detach().softmax(-1)
    expected_BTV = 0.5 * (probs_BTV - probs_BTV.flip(0)) * mask_BT[..., None]
    close(logits_BTV.grad, expected_BTV)


def test_losses_of_two_views_are_their_means() -> None:
    model = model_with(BOTH)
    encoded, targets = encoded_of(model)
    found = model.head.losses(encoded, targets)
    assert list(found) == ["total", "ctc", "intermediate", "consistency"]
    log_probs_BTV = model.head.frame_log_probs(encoded)
    assert log_probs_BTV is not None
    close(found["ctc"], ctc_loss(log_probs_BTV, encoded, targets) / 2)
    close(found["consistency"], divergence(log_probs_BTV, encoded.mask_BT))
    mixed = 0.75 * found["ctc"] + 0.25 * found["intermediate"] + 0.5 * found["consistency"]
    close(found["total"], mixed)


# Both


@OPTIONS
def test_the_amount_of_padding_changes_nothing(options: dict[str, Any]) -> None:
    outcomes = []
    for more in (0, 50):
        model = model_with(options)
        found = losses_of(model, more)
        found["total"].backward()  # type: ignore[no-untyped-call]
        outcomes.append((found, {name: p.grad for name, p in model.named_parameters()}))
    close(outcomes[0][0], outcomes[1][0])
    close(outcomes[0][1], outcomes[1][1], rtol=1e-3, atol=1e-3)


@OPTIONS
def test_they_add_no_parameter_and_nothing_outside_of_training(options: dict[str, Any]) -> None:
    model, plain = model_with(options, fresh), fresh(small("ds2"))
    assert model.state_dict().keys() == plain.state_dict().keys()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    model.eval()
    plain.eval()
    assert list(losses_of(model)) == ["total"]
    close(losses_of(model)["total"], losses_of(plain)["total"])


# In the step


def batch_of(*texts: str) -> Batch:
    ids = [f"{text}{i}" for i, text in enumerate(texts)]
    return make_batch(ids, list(texts), [spoken(text) for text in texts], TOKENIZER)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("options") / "corpus", ["abca", "bcb"], ["cab"])


def stepped(tmp_path: Path, corpus: Path, *sets: str) -> tuple[Losses, dict[str, torch.Tensor]]:
    cell = cell_of(tmp_path, corpus, "train.optimizer.clip_norm=1e9", *sets)
    trainer = Trainer(cell, TOKENIZER, "f1", torch.device("cpu"))
    metrics = trainer.step([batch_of("abc", "ab")], epoch=0, number=0, progress=0.5)
    parameters = trainer.recogniser.model.named_parameters()
    return metrics.losses, {name: p.grad for name, p in parameters if p.grad is not None}


def test_equal_views_train_as_one_does(tmp_path: Path, corpus: Path) -> None:
    """Without masks and dropout both views are the same, and so are loss and gradient."""
    plain, expected = stepped(tmp_path, corpus)
    losses, found = stepped(tmp_path, corpus, "model.head.consistency={weight: 0.5}")
    close(losses["total"], plain["total"])
    close(losses["consistency"], torch.zeros(()))
    close(found, expected, rtol=1e-3, atol=1e-4)


def test_views_have_masks_of_their_own(tmp_path: Path, corpus: Path) -> None:
    masks = "augment={time_masks: 2, time_width: 10, frequency_masks: 2, frequency_width: 5}"
    plain, _ = stepped(tmp_path, corpus, masks)
    losses, _ = stepped(tmp_path, corpus, masks, "model.head.consistency={weight: 0.5}")
    assert float(losses["consistency"]) > 0
    assert float(losses["ctc"]) != pytest.approx(float(plain["total"]))


def test_the_first_view_is_masked_as_a_single_one(tmp_path: Path, corpus: Path) -> None:
    spec = cell_of(tmp_path, corpus).augment.model_copy(update={"time_masks": 2, "time_width": 9})
    given: dict[str, Any] = {"seed": 1, "epoch": 2, "utterances": ["a", "b"]}
    x_BTF, frames = torch.ones(2, 40, 20), [40, 30]
    alone = mask_spectrum(x_BTF, frames, spec, **given)
    first, second = (mask_spectrum(x_BTF, frames, spec, **given, view=v) for v in (0, 1))
    assert torch.equal(first, alone)
    assert not torch.equal(second, alone)


def test_plan_counts_both_views(tmp_path: Path, corpus: Path) -> None:
    """Nearly twice the operations: the features of an utterance are computed once."""
    counts = []
    for sets in ((), ("model.head.consistency={}",)):
        setup = set_up(cell_of(tmp_path, corpus, *sets), tmp_path / "results")
        counts.append(flops_per_audio_second(setup, 0))
    assert 1.9 < counts[1] / counts[0] < 2


def test_runs_without_them_keep_their_identity(tmp_path: Path, corpus: Path) -> None:
    """The keys count from the moment they are used."""
    cell = cell_of(tmp_path, corpus)
    assert {"model.head.intermediate", "model.head.consistency"} <= ADDED_LATER.keys()
    plain = cell.plain()
    del plain["model"]["head"]["intermediate"], plain["model"]["head"]["consistency"]
    before = RecordedCell.model_validate_json(json.dumps(plain))
    assert before.identity("f1") == cell.identity("f1")
    for sets in ("intermediate={layers: [1]}", "consistency={}"):
        other = cell_of(tmp_path, corpus, f"model.head.{sets}")
        assert other.identity("f1") != cell.identity("f1")


def test_a_run_with_both_trains_and_is_read_again(tmp_path: Path, corpus: Path) -> None:
    sets = ["train.epochs=2", "model.head={intermediate: {layers: [1]}, consistency: {}}"]
    run = trained(cell_of(tmp_path, corpus, *sets), tmp_path / "results")
    (_, last) = run.history()
    assert {"ctc_loss", "intermediate_loss", "consistency_loss"} <= last.keys()
    assert load_cell(run.spec_path).plain()["model"]["head"]["intermediate"]["layers"] == [1]
