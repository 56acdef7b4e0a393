"""The dev pass, which decodes the development set at the end of an epoch and scores it."""

import time
from typing import Any

import torch

from asrbench.base.reporting import Reporter
from asrbench.data.batch_sampler import length_plan
from asrbench.models.heads.head import Ratio
from asrbench.recogniser.loader import load
from asrbench.recogniser.recogniser import Recogniser, Transcribed
from asrbench.scoring.edit_counts import ErrorCounts, character_errors
from asrbench.scoring.untrained import why_untrained
from asrbench.text.profiles import PROFILES
from asrbench.training.checkpoint import State
from asrbench.training.setup import TrainingSetup


def evaluate_epoch(state: State, setup: TrainingSetup, reporter: Reporter) -> dict[str, Any]:
    """Returns the history row of the epoch that just ended: training metrics and dev CER.

    Adds the weights to the average as soon as their dev CER is known, because the row of the last
    epoch has the dev CER of the average too.
    """
    cell, metrics = setup.cell, state.metrics
    started_at = time.perf_counter()
    batches = _dev_pass(state.trainer.recogniser, setup, reporter)
    references, hypotheses = _texts(batches)
    edits = _edits(batches, setup)
    state.average_weights(edits.rate)
    row = {
        "epoch": state.epoch + 1,
        "steps": state.steps,
        "loss": metrics.loss,
        **{f"{name}_loss": loss for name, loss in metrics.loss_parts().items()},
        "dev_cer": edits.rate,
        **_averaged_rate(state, setup, reporter),
        "dev_characters": edits.n,
        "dev_profile": str(PROFILES[cell.score.profile]),
        "dev_search": state.trainer.recogniser.selection,
        "lr": state.trainer.learning_rate,
        "gradient_norm": metrics.gradient_norm / max(metrics.batches, 1),
        "layer_gradient_norms": {
            layer: norm / max(metrics.batches, 1)
            for layer, norm in zip(state.trainer.layers, metrics.layer_norms, strict=True)
        },
        "audio_seconds_per_second": metrics.audio_seconds / max(metrics.seconds, 1e-9),
        **_shares([batch.diagnostics for batch in batches]),
        "empty_share": sum(not text for text in hypotheses) / len(hypotheses),
        "distinct_hypotheses": len(set(hypotheses)),
        "untrained": why_untrained(edits.rate, references, hypotheses),
        "train_seconds": metrics.seconds,
        "wait_share": metrics.wait_seconds / max(metrics.seconds, 1e-9),
        "other_load": metrics.other_load,
        "dev_seconds": time.perf_counter() - started_at,
    }
    if setup.device.type == "cuda":
        row["peak_memory_gb"] = torch.cuda.max_memory_allocated(setup.device) / 1e9
    return row


def _averaged_rate(state: State, setup: TrainingSetup, reporter: Reporter) -> dict[str, float]:
    """Returns the dev CER of the averaged weights; nothing before the last epoch."""
    averaged = state.averaged
    if averaged is None:
        return {}
    return {"average_dev_cer": _edits(_dev_pass(averaged, setup, reporter), setup).rate}


def _edits(batches: list[Transcribed], setup: TrainingSetup) -> ErrorCounts:
    """Returns the character errors of all batches under the profile of the spec."""
    ids = [id for batch in batches for id in batch.ids]
    other_side = _other_side(setup, ids)
    return character_errors(*_texts(batches), setup.cell.score.profile, other_side)


def _texts(batches: list[Transcribed]) -> tuple[list[str], list[str]]:
    """Returns the references and the hypotheses of all batches."""
    references = [text for batch in batches for text in batch.references]
    return references, [text for batch in batches for text in batch.hypotheses]


def _dev_pass(
    recogniser: Recogniser, setup: TrainingSetup, reporter: Reporter
) -> list[Transcribed]:
    """Decodes the development set with the search whose dev CER the history has.

    Batches are assigned to ranks round-robin; every rank returns all of them, in order.
    """
    ranks = setup.ranks
    plan = length_plan(setup.dev.samples, setup.cell.train.batch_seconds)
    share = plan[ranks.rank :: ranks.world_size]
    total, batches = sum(map(len, share)), []
    dev = load(setup.dev, setup.tokenizer, share, workers=setup.cell.run.workers)
    for batch in recogniser.transcribe(dev, recogniser.selection, diagnose=True):
        batches.append(batch)
        reporter.progress("dev", sum(len(each.ids) for each in batches), total)
    by_rank = ranks.gather(batches)
    return [by_rank[i % ranks.world_size][i // ranks.world_size] for i in range(len(plan))]


def _other_side(setup: TrainingSetup, ids: list[str]) -> list[str] | None:
    """Returns the texts of utterances that the scoring profile accepts beside the references."""
    side = PROFILES[setup.cell.score.profile].other_side_among(setup.dev.sides)
    if side is None:
        return None
    texts = dict(zip(setup.dev.ids, setup.dev.column(side), strict=True))
    return [texts[id] for id in ids]


def _shares(diagnostics: list[dict[str, Ratio]]) -> dict[str, float]:
    """Returns each diagnostic over all batches, as a fraction."""
    return {
        name: sum(each[name].part for each in diagnostics)
        / max(sum(each[name].whole for each in diagnostics), 1)
        for name in diagnostics[0]
    }
