"""What can be believed of a comparison: one document, which every output shows a part of.

Rates in it are fractions, times seconds; nothing is rounded, and what is not known is null.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from asrbench.base.files import write_json, write_text
from asrbench.experiment.run_folder import DECODES
from asrbench.report import tables
from asrbench.report.plots import study as plots_study
from asrbench.report.tables import Document
from asrbench.scoring.results import Row, TestSet, contradiction
from asrbench.scoring.score import counted, worded
from asrbench.stages.compare.comparison import Comparison
from asrbench.stats.bootstrap import REPLICATES
from asrbench.stats.verdicts import Verdict
from asrbench.stats.versus import compared
from asrbench.text.profiles import RATES, Unit


def document(
    comparison: Comparison,
    *,
    unit: Unit = "character",
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Document:
    """Everything that is said of `comparison`; the bootstrap draws `replicates` by `seed`.

    Speakers are what the test set is drawn from where the speaker of every utterance is known and
    there are two or more of them.
    """
    rows = comparison.rows

    def held(rows: Sequence[Row]) -> Document:
        """Against the references of the first."""
        first = rows[0].results[0]
        return compared(
            first.test_set.references,
            {row.label: [result.hypotheses for result in row.results] for row in rows},
            profile=first.profile.name,
            unit=unit,
            speakers=_speakers(first.test_set),
            replicates=replicates,
            seed=seed,
            incomparable=dict(_incomparable(rows)),
            where=first.run,
        ).plain()

    found = held(rows)
    systems = [
        _system(row, rows[0], plain) for row, plain in zip(rows, found.pop("systems"), strict=True)
    ]
    apart = []
    for row, reason in comparison.apart:
        (plain,) = held([row])["systems"]
        plain |= {"verdict": Verdict.NOT_COMPARABLE.value, "reason": reason}
        apart.append(_system(row, rows[0], plain))
    results = [result for row in rows for result in row.results]
    dev, *other = {(result.dev_profile, result.dev_n) for result in results}
    if other:
        # Curves that do not count the same do not belong on one axis.
        systems = [system | {"curves": []} for system in systems]
    everything = (*rows, *(row for row, _ in comparison.apart))
    runs = [result.run for row in everything for result in row.results]
    return {
        **found,
        "title": _title(comparison, found),
        "experiment": rows[0].results[0].run.cell.experiment,
        "split": comparison.split,
        "profile_words": comparison.profile.words,
        "corpus": {"name": comparison.corpus, "fingerprint": comparison.fingerprint},
        "dev": None if other else {"profile": dev[0], "n": dev[1]},
        "seeds": list(comparison.seeds),
        "legend": _legend(comparison, found),
        "notes": [*comparison.notes, *_contradictions(everything, [*systems, *apart])],
        "systems": systems,
        "apart": apart,
        **(_differing(comparison, systems, replicates) if replicates else {}),
        "environments": [{"run": str(run), **run.env} for run in runs],
        "specs": [{"run": str(run), "yaml": run.spec_text} for run in runs],
        "commands": list(_commands(comparison)),
    }


def _title(comparison: Comparison, found: dict[str, Any]) -> str:
    """What every figure of the table stands on, in one line."""
    seeds = f"seed{'' if len(comparison.seeds) == 1 else 's'}"
    return (
        f"{comparison.split} of {comparison.corpus} ({comparison.fingerprint[:8]}), "
        f"{found['utterances']:,} utterances, N = {found['n']:,} {found['unit']}s, profile "
        f"{comparison.profile}, {seeds} {', '.join(map(str, comparison.seeds))}"
    )


def _speakers(test_set: TestSet) -> tuple[str, ...] | None:
    """Those to draw from: None for fewer than two."""
    known = test_set.speakers
    return None if known is None or len(set(known)) < 2 else known


def _differing(
    comparison: Comparison, systems: Sequence[Document], replicates: int
) -> dict[str, Any]:
    """Where systems differ: by length, kind, speaker and utterance."""
    from asrbench.analysis.findings import find  # rates alone need not wait for it

    test_set, profile = comparison.test_set, comparison.profile.name
    return find(
        test_set.ids,
        [counted(text, profile) for text in test_set.references],
        {
            row.label: [
                [counted(text, profile) for text in result.hypotheses] for result in row.results
            ]
            for row in comparison.rows
        },
        comparison.baseline.label,
        words=[worded(text, profile) for text in test_set.references],
        durations_s=test_set.seconds,
        speakers=_speakers(test_set),
        replicates=replicates,
        untrained=[system["label"] for system in systems if not system["trained"]],
    ).plain()


def _incomparable(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Labels, and why what sets them apart from the baseline is not the model alone."""
    baseline = rows[0]
    ours = baseline.results[0].run.cell
    for row in rows[1:]:
        theirs = row.results[0].run.cell
        if row.decode != baseline.decode:
            yield (
                row.label,
                f"another decoder: {row.decode}, where {baseline.label} has {baseline.decode}",
            )
        elif theirs.train.batch_seconds != ours.train.batch_seconds:
            yield (
                row.label,
                f"another order of batches: train.batch_seconds is "
                f"{theirs.train.batch_seconds:g}, not {ours.train.batch_seconds:g}",
            )


def _system(row: Row, baseline: Row, plain: dict[str, Any]) -> dict[str, Any]:
    if plain["difference"] is not None:
        plain["difference"]["seeds"] = row.shared_seeds(baseline)
    runs = [
        {"seed": result.seed, "run": str(result.run), "step_seconds": result.step_seconds, **each}
        for result, each in zip(row.results, plain["runs"], strict=True)
    ]
    return {
        **plain,
        "variant": row.variant,
        "decode": row.decode,
        "profile": str(row.results[0].profile),
        "runs": runs,
        "cost": _cost(row, baseline),
        "curves": list(_curves(row)),
        "gradient_norms": list(_gradient_norms(row)),
    }


def _cost(row: Row, baseline: Row) -> dict[str, float | None]:
    memory = [
        max(peaks)
        for result in row.results
        if (peaks := [e["peak_memory_gb"] for e in result.history if "peak_memory_gb" in e])
    ]
    return {
        "parameters": row.results[0].parameters,
        "step_seconds": row.step_seconds,
        "step_ratio": row.step_ratio(baseline),
        "memory_gb": max(memory, default=None),
        "real_time_factor": _mean([r.stored.get("real_time_factor") for r in row.results]),
        # A decoder's operations are not counted, and are most of its cost.
        "flops_per_audio_second": _mean(
            [r.stored.get("flops_per_audio_second") for r in row.results if r.decode == DECODES[0]]
        ),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _curves(row: Row) -> Iterator[dict[str, Any]]:
    """Dev CER is that of greedy decoding; the row of another decode has no curve of its own."""
    if row.decode != DECODES[0]:
        return
    for result in row.results:
        if history := result.history:
            yield {
                "seed": result.seed,
                **{key: [epoch.get(key) for epoch in history] for key in ("epoch", "dev_cer")},
                "loss": [epoch.get("loss") for epoch in history],
            }


def _gradient_norms(row: Row) -> Iterator[dict[str, Any]]:
    for result in row.results:
        norms = [epoch.get("layer_gradient_norms") or {} for epoch in result.history]
        if norms and all(norms):
            layers = {layer: [epoch[layer] for epoch in norms] for layer in norms[0]}
            yield {"seed": result.seed, "layers": layers}


def _contradictions(rows: Sequence[Row], systems: Sequence[Document]) -> Iterator[str]:
    for row, system in zip(rows, systems, strict=True):
        for result, run in zip(row.results, system["runs"], strict=True):
            if note := contradiction(result, run["cer"]):
                yield note


def _legend(comparison: Comparison, found: dict[str, Any]) -> list[str]:
    rate, baseline = RATES[found["unit"]], found["baseline"]
    lines = [
        f"{rate}: edits over reference {found['unit']}s of the whole split, "
        f"{comparison.profile.words}; mean over seeds."
    ]
    if found["replicates"]:
        drawn = "speakers" if found["speakers"] else "utterances"
        lines[0] += (
            f" 95 %: interval over {drawn}, and over luck of training where there are two seeds; "
            f"{found['replicates']:,} bootstrap replicates."
        )
        lines.append(
            f"diff: points of {rate}, variant minus {baseline}; below zero is fewer errors. "
            f"p Holm: corrected for all variants compared."
        )
    lines.append(
        f"step: time of an optimizer step in the fastest epoch of training, relative to "
        f"{baseline}. docs/statistics.md says what each figure means."
    )
    return lines


def _commands(comparison: Comparison) -> Iterator[str]:
    results = [result for row in comparison.rows for result in row.results]
    for folder in dict.fromkeys(result.run.folder.parent.parent for result in results):
        decodes = dict.fromkeys(result.decode for result in results)
        for decode in decodes:
            option = "" if decode == DECODES[0] else f" --decode {decode}"
            yield f"asrbench eval {folder} --split {comparison.split}{option}"
        yield f"asrbench compare {folder} --split {comparison.split}"


def write(study: Document, out: Path, corpus: Path | None = None) -> list[Path]:
    """Leaves the tables, the document itself, the figures and `report.html` in `out`.

    Without a bootstrap there is no figure and no page. The page has audio where `corpus` is at
    hand.
    """
    texts = {
        "table.md": tables.markdown(study),
        "table.csv": tables.comma_separated(study),
        "table.tex": tables.latex(study),
    }
    for name, text in texts.items():
        write_text(out / name, text)
    write_json(out / "study.json", study)
    paths = [*(out / name for name in texts), out / "study.json"]
    if study["replicates"]:
        from asrbench.report import page as report  # nor for this

        paths += [*plots_study.draw(study, out), report.write(study, out, corpus)]
    return paths
