"""The dev pass, which decodes the development set at the end of an epoch and scores it."""

import time
from typing import Any

import torch

from asrbench.base.reporting import Reporter
from asrbench.data.batch_sampler import length_plan
from asrbench.experiment.spec import Cell
from asrbench.models.heads.head import Ratio
from asrbench.recogniser.loader import load
from asrbench.recogniser.recogniser import Transcribed
from asrbench.scoring.edit_counts import character_errors
from asrbench.scoring.untrained import why_untrained
from asrbench.text.profiles import PROFILES
from asrbench.training.checkpoint import State
from asrbench.training.setup import TrainingSetup


def evaluate_epoch(state: State, setup: TrainingSetup, reporter: Reporter) -> dict[str, Any]:
    """Returns the history row of the epoch that just ended: training metrics and dev CER."""
    cell, metrics = setup.cell, state.metrics
    started_at = time.perf_counter()
    batches = _dev_pass(state, setup, reporter)
    references = [text for batch in batches for text in batch.references]
    hypotheses = [text for batch in batches for text in batch.hypotheses]
    edits = character_errors(references, hypotheses, cell.score.profile)
    row = {
        "epoch": state.epoch + 1,
        "steps": state.steps,
        "loss": metrics.loss,
        **{f"{name}_loss": loss for name, loss in metrics.loss_parts().items()},
        "dev_cer": edits.rate,
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
        "dev_seconds": time.perf_counter() - started_at,
    }
    if setup.device.type == "cuda":
        row["peak_memory_gb"] = torch.cuda.max_memory_allocated(setup.device) / 1e9
    return row


def in_one_line(row: dict[str, Any], cell: Cell) -> str:
    """Returns the history row of an epoch as a line for the terminal."""
    untrained = f"  ({row['untrained']})" if row["untrained"] else ""
    blank = f"blank {100 * row['blank_fraction']:.0f} %  " if "blank_fraction" in row else ""
    return (
        f"{cell.variant} seed {cell.seed}  epoch {row['epoch']:>3}/{cell.train.epochs}  "
        f"loss {row['loss']:.3f}  dev CER {100 * row['dev_cer']:6.2f} % "
        f"({row['dev_profile']}, N {row['dev_characters']:,})  "
        f"{blank}{row['train_seconds']:.0f} s{untrained}"
    )


def _dev_pass(state: State, setup: TrainingSetup, reporter: Reporter) -> list[Transcribed]:
    """Decodes the development set with the search that chooses checkpoints.

    Batches are assigned to ranks round-robin; every rank returns all of them, in order.
    """
    ranks, recogniser = setup.ranks, state.trainer.recogniser
    plan = length_plan(setup.dev.samples, setup.cell.train.batch_seconds)
    share = plan[ranks.rank :: ranks.world_size]
    total, batches = sum(map(len, share)), []
    dev = load(setup.dev, setup.tokenizer, share, workers=setup.cell.run.workers)
    for batch in recogniser.transcribe(dev, recogniser.selection, diagnose=True):
        batches.append(batch)
        reporter.progress("dev", sum(len(each.ids) for each in batches), total)
    by_rank = ranks.gather(batches)
    return [by_rank[i % ranks.world_size][i // ranks.world_size] for i in range(len(plan))]


def _shares(diagnostics: list[dict[str, Ratio]]) -> dict[str, float]:
    """Returns each diagnostic over all batches, as a fraction."""
    return {
        name: sum(each[name].part for each in diagnostics)
        / max(sum(each[name].whole for each in diagnostics), 1)
        for name in diagnostics[0]
    }
