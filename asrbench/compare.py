"""From run folders to the table: one row a variant, every seed shown, figures recomputed.

Differences are printed as they are. Nothing here says whether one could be chance.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from asrbench import plots
from asrbench.errors import UserError, pick
from asrbench.files import write_text
from asrbench.profiles import PROFILES, Profile
from asrbench.registry import MODELS
from asrbench.results import Result, Row, differing_keys, read_results
from asrbench.runs import DECODES, Run

FEW_SEEDS = 3
MARK = "!"
NONE = "-"

MACHINE = ("device_name", "threads", "precision")
"""Keys of `env.json` that move the time of a step."""

CSV_COLUMNS = (
    *("variant", "decode", "seed", "profile", "cer", "jer", "wer", "swer"),
    *("substitutions", "deletions", "insertions", "n"),
    *("parameters", "step_seconds", "run"),
)
"""Of `table.csv`: rates as fractions, edits and `n` of characters, times in seconds."""


@dataclass(frozen=True)
class Comparison:
    """What was compared, row by row, the baseline first, and what a reader must know of it."""

    split: str
    profile: Profile
    corpus: str
    """Name of the corpus folder."""
    fingerprint: str
    utterances: int
    n: int
    """Reference characters of the split under the profile."""
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def baseline(self) -> Row:
        return self.rows[0]

    @property
    def title(self) -> str:
        """What every figure of the table stands on, in one line."""
        return (
            f"{self.split} of {self.corpus} ({self.fingerprint[:8]}), {self.utterances:,} "
            f"utterances, N = {self.n:,} characters, profile {self.profile}, "
            f"{_seeds(self.seeds)}"
        )

    @property
    def legend(self) -> tuple[str, ...]:
        """What CER and the columns mean here."""
        return (
            f"CER: edits over reference characters of the whole split, "
            f"{self.profile.words}; mean over seeds, sd their sample standard deviation.",
            f"diff: CER points, variant minus {self.baseline.label}, mean over the seeds both "
            f"have; below zero is fewer errors. No test stands behind it.",
            f"step: time of an optimizer step in the fastest epoch of training, relative to "
            f"{self.baseline.label}.",
        )


def compare(
    paths: Iterable[Path],
    baseline: str | None = None,
    split: str | None = None,
    profile: str | None = None,
) -> Comparison:
    """The runs at or below `paths`, on `split`, against the variant `baseline`.

    Without `split`: `test` where a run is scored on it, else the first that is scored. Without
    `baseline`: `ds2`, else the first variant. Without `profile`: that of the runs. Raises
    `UserError` for what must not stand in one table (corpora, profiles, references or specs that
    differ) and when no run is scored.
    """
    notes: list[str] = []
    paths = list(paths)
    runs = list({run.folder.resolve(): run for run in Run.find(paths)}.values())
    split = _choose_split(runs, split, " ".join(map(str, paths)), notes)
    results, utterances = read_results(runs, split, notes, profile)
    rows = _ordered(_grouped(results), baseline, notes)
    first = rows[0].results[0]
    ruler = PROFILES[profile or first.run.cell.score.profile]
    notes.extend(_remarks(rows, split, ruler))
    return Comparison(
        split=split,
        profile=ruler,
        corpus=Path(first.run.cell.corpus).name,
        fingerprint=first.corpus,
        utterances=utterances,
        n=first.scores.characters.n,
        seeds=tuple(sorted({result.seed for result in results})),
        rows=tuple(rows),
        notes=tuple(notes),
    )


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
    for row in rows:
        yield from _failures(row)
    for row in rows[1:]:
        shared = row.shared_seeds(rows[0])
        if len(shared) < max(len(row.results), len(rows[0].results)):
            which = _seeds(shared) if shared else "no seed"
            yield f"{row.label}: difference over {which}, shared with {rows[0].label}"
    fewest = min(len(row.results) for row in rows)
    if fewest < FEW_SEEDS and len(rows) > 1:
        count = "one seed" if fewest == 1 else f"{fewest} seeds"
        where = "a variant" if all(len(r.results) == fewest for r in rows) else "for some variants"
        yield f"{count} {where}: differences of this size can be chance"
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


def _failures(row: Row) -> Iterator[str]:
    for result in row.results:
        if result.failure:
            yield (
                f"{MARK} never learned: {row.label} seed {result.seed}, CER "
                f"{_percent(result.cer)} %: {result.failure}; no difference is drawn from it"
            )


# Writing


def cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table as text, for the terminal and for Markdown alike."""
    seeds = comparison.seeds
    header = ["variant", "params", "CER %", "sd", _seeds(seeds, " "), "diff", "step"]
    return header, [_cells(row, comparison.baseline, seeds) for row in comparison.rows]


def _cells(row: Row, baseline: Row, seeds: Sequence[int]) -> list[str]:
    difference, ratio = row.difference(baseline), row.step_ratio(baseline)
    each = [
        _percent(row.by_seed[seed].cer) + (MARK if row.by_seed[seed].failure else "")
        if seed in row.by_seed
        else NONE
        for seed in seeds
    ]
    return [
        row.label,
        _amount(row.results[0].parameters),
        _percent(row.mean) + ("" if row.trained else MARK),
        NONE if row.spread is None else _percent(row.spread),
        " ".join(each),
        # Adding zero turns a rounded -0.0 into 0.0.
        NONE if difference is None else f"{round(100 * difference, 2) + 0:+.2f}",
        NONE if ratio is None else f"{ratio:.2f}x",
    ]


def write(comparison: Comparison, out: Path) -> list[Path]:
    """Leaves `table.md`, `table.csv` (one row a run and decode) and `cer.png` in `out`."""
    paths = [out / "table.md", out / "table.csv", out / "cer.png"]
    write_text(paths[0], _markdown(comparison))
    write_text(paths[1], _csv(comparison))
    _draw(comparison, paths[2])
    return paths


def _markdown(comparison: Comparison) -> str:
    header, rows = cells(comparison)
    lines = [
        comparison.title,
        "",
        f"| {' | '.join(header)} |",
        f"| --- |{' ---: |' * (len(header) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        *(f"{line}  " for line in comparison.legend),
    ]
    if comparison.notes:
        lines += ["", *(f"- {note}" for note in comparison.notes)]
    return "\n".join(lines) + "\n"


def _csv(comparison: Comparison) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in comparison.rows:
        for result in row.results:
            scores = result.scores
            counts = scores.characters
            writer.writerow(
                [
                    row.variant,
                    row.decode,
                    result.seed,
                    scores.profile,
                    *(f"{each.rate:.6f}" for each in (counts, scores.jamo)),
                    *(f"{each.rate:.6f}" for each in (scores.words, scores.spaced_words)),
                    *(counts.substitutions, counts.deletions, counts.insertions, counts.n),
                    result.parameters,
                    None if result.step_seconds is None else f"{result.step_seconds:.6f}",
                    result.run,
                ]
            )
    return file.getvalue()


def _draw(comparison: Comparison, path: Path) -> None:
    rulers = {(r.dev_profile, r.dev_n) for row in comparison.rows for r in row.results}
    (dev_profile, dev_n), *others = rulers
    dots = [
        plots.Dots(
            row.label,
            row.variant,
            tuple(100 * result.cer for result in row.results if not result.failure),
            tuple(100 * result.cer for result in row.results if result.failure),
        )
        for row in comparison.rows
    ]
    plots.draw(
        path,
        dots,
        # Curves that do not count the same do not belong on one axis.
        [curve for row in comparison.rows for curve in _curves(row) if not others],
        baseline_percent=100 * comparison.baseline.mean if comparison.baseline.trained else None,
        unit=f"CER (%) on {comparison.split}, N = {comparison.n:,} characters, "
        f"profile {comparison.profile}",
        curves_unit=f"dev CER (%), greedy, {dev_profile}" + (f", N = {dev_n:,}" if dev_n else ""),
        title=comparison.title,
    )


def _curves(row: Row) -> Iterator[plots.Curve]:
    """Dev CER is that of greedy decoding; the row of another decode has no curve of its own."""
    if row.decode != DECODES[0]:
        return
    for result in row.results:
        history = result.run.history()
        if history:
            yield plots.Curve(
                row.variant,
                tuple(epoch["epoch"] for epoch in history),
                tuple(100 * epoch["dev_cer"] for epoch in history),
            )


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f}"


def _amount(count: int | None) -> str:
    """A number of parameters: 4.01M, 512k."""
    if count is None:
        return NONE
    if count < 1_000_000:
        return f"{count / 1_000:.0f}k"
    return f"{count / 1_000_000:.{1 if count >= 10_000_000 else 2}f}M"


def _seeds(seeds: Sequence[int], comma: str = ", ") -> str:
    return f"seed{'' if len(seeds) == 1 else 's'} {comma.join(map(str, seeds))}"
