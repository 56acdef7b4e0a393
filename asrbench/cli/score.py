"""`asrbench score`: any system's hypotheses, and what sets several apart.

`--json` prints `asrbench.stats.versus.Comparison.plain` with the name of the references and
the notes. Rates and differences are fractions, nothing is rounded, nothing known is null.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrbench.base.errors import UserError, pick
from asrbench.cli.terminal import print_table
from asrbench.text.profiles import PROFILES, ProfileName, Unit

if TYPE_CHECKING:
    from asrbench.stats.mapsswe import Mapsswe
    from asrbench.stats.versus import Comparison, System

MEASURES = {"characters": "CER", "jamo": "jamo", "words": "WER", "spaced_words": "sWER"}
NONE = "-"


def score(
    systems: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=HYP...", help="Hypotheses of each system; a name twice is two seeds."
        ),
    ],
    ref: Annotated[
        Path | None, typer.Option("--ref", help="References, unless hypotheses come with them.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="System to compare to; otherwise the first.")
    ] = None,
    profile: Annotated[
        ProfileName,
        typer.Option(help="What the CER counts. References are taken as they are."),
    ] = "verbatim",
    unit: Annotated[
        Unit, typer.Option(help="What errors are compared in: a CER or a WER.")
    ] = "character",
    speakers: Annotated[
        Path | None, typer.Option(help="Speaker of each id, as Kaldi's utt2spk or a TSV.")
    ] = None,
    speaker_of: Annotated[
        str | None, typer.Option(help="A regular expression whose first group is the speaker.")
    ] = None,
    replicates: Annotated[
        int, typer.Option(min=0, help="Of the bootstrap; 0 leaves the rates alone.")
    ] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every figure as one JSON document.")
    ] = False,
) -> None:
    """Print the error rates of any system's hypotheses, and which systems differ.

    CER and WER, sWER (with the spacing of the reference), and for Hangul the error rate of jamo;
    of two systems or more, differences to the baseline with intervals, tests and a verdict.
    Files are TRN, TSV, Kaldi's text, KoSpeech's CSV, JSONL of `asrbench eval` or NeMo, or JSON of
    Whisper.
    """
    from asrbench.scoring.hypotheses import gather
    from asrbench.stats.versus import compared

    paths = _paths(systems)
    if baseline is not None:
        pick("--baseline", baseline, paths)
    gathered = gather(ref, paths, profile)
    comparison = compared(
        list(gathered.references.values()),
        gathered.systems,
        baseline=baseline,
        profile=profile,
        unit=unit,
        speakers=_speakers(list(gathered.references), speakers, speaker_of),
        replicates=replicates,
        seed=seed,
        where=gathered.source,
    )
    if as_json:
        document = {
            **comparison.plain(),
            "references": str(gathered.source),
            "notes": gathered.notes,
        }
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return
    _print(comparison, gathered.source.name)
    for note in gathered.notes:
        typer.echo(f"note: {note}")


def _paths(systems: Sequence[str]) -> dict[str, list[Path]]:
    """The files of each system, in the order they were named."""
    paths: dict[str, list[Path]] = {}
    for system in systems:
        name, equals, path = system.partition("=")
        if not equals or not name or not path:
            raise UserError(f"{system}: found no NAME=HYP, as in base=hypotheses.trn")
        files = paths.setdefault(name, [])
        if Path(path) in files:
            raise UserError(f"{system}: found a second time; seeds of a system are different files")
        files.append(Path(path))
    return paths


def _speakers(ids: Sequence[str], table: Path | None, pattern: str | None) -> list[str] | None:
    """Of each utterance, where there is a way to tell."""
    from asrbench.scoring.hypotheses import read_transcripts

    if table is not None and pattern is not None:
        raise UserError("--speaker-of: found beside --speakers; one of them is enough")
    known: dict[str, str] = {}
    if table is not None:
        known = read_transcripts(table)
    elif pattern is not None:
        known = _matches(ids, pattern)
    else:
        return None
    unknown = [name for name in ids if not known.get(name)]
    if unknown:
        option = "--speaker-of" if table is None else str(table)
        raise UserError(
            f"{option}: found no speaker of {len(unknown)} of {len(ids)} utterances "
            f"({', '.join(unknown[:3])}{', ...' if len(unknown) > 3 else ''})"
        )
    return [known[name] for name in ids]


def _matches(ids: Sequence[str], pattern: str) -> dict[str, str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"--speaker-of: found '{pattern}', no regular expression: {error}"
        ) from None
    if not expression.groups:
        raise UserError(f"--speaker-of: found '{pattern}', which has no group, as in '^([^-_]+)'")
    found = ((name, expression.search(name)) for name in ids)
    return {name: match[1] for name, match in found if match is not None}


# Printing


def _print(comparison: "Comparison", source: str) -> None:
    ruler = PROFILES[comparison.profile.partition("/")[0]]
    title = f"{source}: {comparison.utterances} utterances, profile {ruler}: {ruler.words}"
    header = ["system", "", "%", "S", "D", "I", "N"]
    rows = [row for system in comparison.systems for row in _rate_rows(system, comparison.unit)]
    if comparison.systems[0].rate is not None:
        header.append("95 %")
    else:
        rows = [row[:-1] for row in rows]
    print_table(header, rows, title=title)
    pairs = [system for system in comparison.systems if system.difference is not None]
    if pairs:
        _print_pairs(comparison, pairs)
    for system in comparison.systems:
        if system.judgement is not None:
            judged = system.judgement
            typer.echo(f"{system.label}: {judged.verdict.value}: {judged.reason}")
    if comparison.statement:
        typer.echo(comparison.statement)


def _rate_rows(system: "System", unit: Unit) -> Iterator[list[str]]:
    """A row a measure; of several runs the mean, and edits of all of them."""
    from asrbench.scoring.rates import MEASURE_OF

    label = system.label if len(system.runs) == 1 else f"{system.label} x{len(system.runs)}"
    jamo, characters = (system.counts_of(name).n for name in ("jamo", "characters"))
    for measure, name in MEASURES.items():
        if measure == "jamo" and jamo == characters:
            continue  # no Hangul, so that they are the characters again
        counts = system.counts_of(measure)
        edits = (counts.substitutions, counts.deletions, counts.insertions, counts.n)
        interval = ""
        if measure == MEASURE_OF[unit] and system.rate is not None:
            ends = system.rate.interval
            interval = f"{100 * ends.low:.2f} to {100 * ends.high:.2f}"
        rate = f"{100 * system.mean(measure):.2f}"
        yield [label, name, rate, *map(str, edits), interval]


def _print_pairs(comparison: "Comparison", pairs: Sequence["System"]) -> None:
    from asrbench.scoring.rates import MEASURE_OF

    baseline, rate = comparison.baseline.label, MEASURES[MEASURE_OF[comparison.unit]]
    print_table(
        ["system", "diff", "95 %", "relative", "P(better)", "p", "Holm p"],
        [_pair_row(system) for system in pairs],
        title=f"{rate} minus that of {baseline}, in points; below zero is fewer errors",
    )
    if any(system.tests is not None for system in pairs):
        print_table(
            ["system", "test", "z", "p", "segments"],
            [row for system in pairs for row in _test_rows(system)],
            title="further tests, of these trained models",
        )


def _pair_row(system: "System") -> list[str]:
    difference, judged = system.difference, system.judgement
    assert difference is not None
    assert judged is not None
    low, high = difference.interval.low, difference.interval.high
    return [
        system.label,
        _points(difference.delta),
        f"{_points(low)} to {_points(high)}",
        NONE if difference.relative is None else f"{100 * difference.relative:+.1f} %",
        f"{difference.improvement_probability:.3f}",
        _p(difference.p),
        NONE if judged.holm_p is None else _p(judged.holm_p),
    ]


def _test_rows(system: "System") -> Iterator[list[str]]:
    tests = system.tests
    if tests is None:
        return

    def segments(name: str, found: "Mapsswe") -> list[str]:
        return [system.label, name, f"{found.z:+.3f}", _p(found.p), str(found.segments)]

    yield segments("MAPSSWE, words", tests.word)
    yield segments("MAPSSWE, characters", tests.character)
    exchanged = f"permutation of {tests.permutation.exchanged}"
    yield [system.label, exchanged, NONE, _p(tests.permutation.p), NONE]
    yield [system.label, "McNemar, utterances right", NONE, _p(tests.mcnemar.p), NONE]


def _points(fraction: float) -> str:
    # Adding zero turns a rounded -0.0 into 0.0.
    return f"{round(100 * fraction, 2) + 0:+.2f}"


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"
