"""Which runs stand beside each other: a row a variant, the baseline first, and what to know of it.

`asrbench.stages.compare.document` says what can be believed of their differences.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from asrbench.base.errors import UserError, pick
from asrbench.experiment.registry import MODELS
from asrbench.experiment.run_folder import DECODES, Run
from asrbench.scoring.results import Result, Row, TestSet, differing_keys, read_results, why_apart
from asrbench.text.profiles import Profile

FEW_SEEDS = 3

MACHINE = ("device_name", "threads", "precision")
"""Keys of `env.json` that move the time of a step."""


@dataclass(frozen=True)
class Comparison:
    """What was compared, row by row, the baseline first, and what a reader must know of it."""

    split: str
    profile: Profile
    corpus: str
    """Name of the corpus folder."""
    fingerprint: str
    test_set: TestSet
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    apart: tuple[tuple[Row, str], ...]
    """What stands on something else than the baseline, and on what."""
    notes: tuple[str, ...]

    @property
    def baseline(self) -> Row:
        return self.rows[0]


def comparison_of(
    paths: Iterable[Path],
    baseline: str | None = None,
    split: str | None = None,
    profile: str | None = None,
) -> Comparison:
    """The runs at or below `paths`, on `split`, against the variant `baseline`.

    Without `split`: `test` where a run is scored on it, else the first that is scored. Without
    `baseline`: `ds2`, else the first variant. Without `profile`: that of each run. A variant whose
    split, corpus, profile or references are not the baseline's stands apart. Raises `UserError`
    for runs of one variant that differ in these or in their spec, and when no run is scored.
    """
    notes: list[str] = []
    paths = list(paths)
    runs = list({run.folder.resolve(): run for run in Run.find(paths)}.values())
    split = _choose_split(runs, split, " ".join(map(str, paths)), notes)
    results = read_results(runs, split, notes, profile)
    if not results:
        raise UserError(f"found no hypotheses of {split}; `asrbench eval {runs[0]}` makes them")
    rows = _ordered(_grouped(results), baseline, notes)
    rows += _elsewhere(runs, results, split, profile)
    first = rows[0].results[0]
    reasons = [why_apart(row.results[0], first) for row in rows]
    alike = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
    notes.extend(_remarks(alike, split, first.profile))
    return Comparison(
        split=split,
        profile=first.profile,
        corpus=Path(first.run.cell.corpus).name,
        fingerprint=first.corpus,
        test_set=first.test_set,
        seeds=tuple(sorted({result.seed for row in rows for result in row.results})),
        rows=tuple(alike),
        apart=tuple((row, reason) for row, reason in zip(rows, reasons, strict=True) if reason),
        notes=tuple(notes),
    )


def _elsewhere(
    runs: Sequence[Run], results: Sequence[Result], split: str, profile: str | None
) -> list[Row]:
    """Variants that are not scored on `split` at all, on what they are scored on."""
    variants = {result.variant for result in results}
    others = [
        run
        for run in runs
        if run.cell.variant not in variants and run.scores() and split not in run.scores()
    ]
    if not others:
        return []
    return _grouped(read_results(others, _choose_split(others, None, "", []), [], profile))


def _choose_split(runs: Sequence[Run], split: str | None, named: str, notes: list[str]) -> str:
    scored = list(dict.fromkeys(name for run in runs for name in run.scores()))
    if not scored:
        raise UserError(f"{named}: found no scores; `asrbench eval {named}` makes them")
    if split is not None and split not in scored:
        raise UserError(
            f"--split: found '{split}', scored: {', '.join(scored)}; "
            f"`asrbench eval {named}` scores more"
        )
    if split is None and "test" not in scored and len(scored) > 1:
        notes.append(f"split {scored[0]} of {', '.join(scored)}; --split chooses another")
    return split or ("test" if "test" in scored else scored[0])


def _grouped(results: Sequence[Result]) -> list[Row]:
    """A row a variant and decode. Raises `UserError` for runs that must not be averaged."""
    rows = []
    ordered = sorted(results, key=lambda r: (r.variant, r.decode, r.seed))
    for (variant, decode), group in groupby(ordered, key=lambda r: (r.variant, r.decode)):
        row = Row(variant, decode, tuple(group))
        for one, other in zip(row.results, row.results[1:], strict=False):
            if reason := why_apart(other, one):
                raise UserError(
                    f"{one.run} and {other.run}: found two runs of {variant} with {reason}; "
                    f"name one of them"
                )
            keys = differing_keys(one.run.cell, other.run.cell)
            if one.seed == other.seed or keys:
                why = f"differ in {', '.join(keys)}" if keys else "are the same cell"
                raise UserError(
                    f"{one.run} and {other.run}: found two runs of {variant} that {why}; "
                    f"name one of them or delete the other"
                )
        rows.append(row)
    return rows


def _ordered(rows: list[Row], baseline: str | None, notes: list[str]) -> list[Row]:
    known = list(MODELS)

    def place(row: Row) -> tuple[int, str, int]:
        rank = known.index(row.variant) if row.variant in known else len(known)
        return rank, row.variant, DECODES.index(row.decode)

    rows = sorted(rows, key=place)
    variants = list(dict.fromkeys(row.variant for row in rows))
    if baseline is not None:
        pick("--baseline", baseline, variants)
    elif known[0] in variants:
        baseline = known[0]
    else:
        baseline = variants[0]
        notes.append(f"no run of {known[0]}: {baseline} is the baseline; --baseline names another")
    return sorted(rows, key=lambda row: row.variant != baseline)


# Remarks


def _remarks(rows: Sequence[Row], split: str, ruler: Profile) -> Iterator[str]:
    """What a reader must know before he reads a difference into the table."""
    fewest = min(len(row.results) for row in rows)
    if fewest < FEW_SEEDS and len(rows) > 1:
        count = "one seed" if fewest == 1 else f"{fewest} seeds"
        where = "a variant" if all(len(r.results) == fewest for r in rows) else "for some variants"
        yield f"{count} {where}: what luck of training does is known badly, or not at all"
    cells = [row.results[0].run.cell for row in rows]
    keys = dict.fromkeys(key for cell in cells for key in differing_keys(cells[0], cell))
    beyond = [key for key in keys if not key.startswith("model.")]
    if beyond:
        yield f"beyond the model, variants differ in {', '.join(beyond)}"
    chose = sorted({result.dev_profile for row in rows for result in row.results})
    if chose != [str(ruler)]:
        yield f"weights were chosen by dev CER under {', '.join(chose)}, not under {ruler}"
    yield from _environments([result.run for row in rows for result in row.results])
    if split == "dev":
        yield "dev also chose the checkpoint: figures on it flatter"


def _environments(runs: Sequence[Run]) -> Iterator[str]:
    environments = [run.env for run in runs]
    found = {
        key: sorted({str(environment.get(key)) for environment in environments})
        for key in (*MACHINE, "commit")
    }
    differ = [f"{key} ({', '.join(found[key])})" for key in MACHINE if len(found[key]) > 1]
    if differ:
        yield f"runs differ in {', '.join(differ)}: step compares these too"
    if len(found["commit"]) > 1:
        yield f"runs come from different commits: {', '.join(c[:8] for c in found['commit'])}"
