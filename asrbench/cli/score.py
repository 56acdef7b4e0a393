"""`asrbench score`: error rates of any system's hypotheses, and the differences of several."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from asrbench.base.errors import UserError, pick
from asrbench.base.formatting import (
    NONE,
    counted,
    p_value,
    percent,
    percent_interval,
    points,
    points_interval,
    sentence,
)
from asrbench.base.signals import within
from asrbench.cli.options import MOST_REPLICATES
from asrbench.cli.terminal import echo, echo_json, print_table, print_text
from asrbench.text.profiles import PROFILES, RATES, ProfileName, Unit

if TYPE_CHECKING:
    from asrbench.scoring.hypotheses import Gathered
    from asrbench.scoring.run_rates import CountedRun
    from asrbench.stats.mapsswe import Mapsswe
    from asrbench.stats.record import Comparison, System

PATTERN_SECONDS = 5
"""Time that the pattern of `--speaker-of` may take. A million ids take a common one less than a
second."""

RATE_NAMES = {"characters": "CER", "jamo": "jamo", "words": "WER", "spaced_words": "sWER"}
"""The name of each error rate in the table, by what it counts."""


def score(
    systems: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=HYP...", help="Hypotheses of each system; repeat NAME for another seed."
        ),
    ],
    ref: Annotated[
        Path | None,
        typer.Option("--ref", help="References; the default is those in HYP."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="System to compare with; the default is the first.")
    ] = None,
    profile: Annotated[
        ProfileName,
        typer.Option(help="Scoring profile: what the CER counts."),
    ] = "verbatim",
    unit: Annotated[
        Unit, typer.Option(help="Compare character errors (CER) or word errors (WER).")
    ] = "character",
    speakers: Annotated[
        Path | None,
        typer.Option(
            help="Speaker of each id: Kaldi's utt2spk, or a TSV; the default is those in JSONL of "
            "`asrbench eval`."
        ),
    ] = None,
    speaker_of: Annotated[
        str | None, typer.Option(help="Regular expression on ids; its first group is the speaker.")
    ] = None,
    replicates: Annotated[
        int,
        typer.Option(
            min=0, max=MOST_REPLICATES, help="Bootstrap replicates; 0 gives the rates only."
        ),
    ] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Print the error rates of any system's hypotheses, and compare systems.

    Prints CER, WER, sWER (with the spacing of the reference) and, for Hangul, the error rate of
    jamo. For two systems or more it prints differences to the baseline with intervals, tests and a
    verdict. Files are TRN, TSV, Kaldi's text, KoSpeech's CSV, JSONL of `asrbench eval` or NeMo, or
    JSON of Whisper. With the same profile, replicates and seed, the intervals of the runs of
    `asrbench eval` are those of `asrbench compare`.
    """
    from asrbench.base.records import to_json
    from asrbench.scoring.hypotheses import gather
    from asrbench.scoring.run_rates import runs_of
    from asrbench.stats.comparison import compare_runs
    from asrbench.stats.record import ScoreReport

    paths = _paths(systems)
    if baseline is not None:
        pick("--baseline", baseline, paths)
    gathered = gather(ref, paths, profile)
    references = list(gathered.references.values())
    runs = runs_of(references, gathered.systems, profile, unit)
    comparison = compare_runs(
        references,
        runs,
        baseline=baseline,
        profile=profile,
        unit=unit,
        speakers=_speakers(gathered, speakers, speaker_of),
        replicates=replicates,
        seed=seed,
        where=gathered.source,
    )
    if as_json:
        report = ScoreReport.of(comparison, str(gathered.source), gathered.notes)
        echo_json(to_json(report))
        return
    _print(comparison, runs, gathered.source.name)
    for note in gathered.notes:
        echo(f"note: {note}")


def _paths(systems: Sequence[str]) -> dict[str, list[Path]]:
    """Returns the files of each system, in the order of the command line."""
    paths: dict[str, list[Path]] = {}
    for system in systems:
        name, equals, path = system.partition("=")
        if not equals or not name or not path:
            raise UserError(f"{system}: found no NAME=HYP, as in base=hypotheses.trn")
        files = paths.setdefault(name, [])
        if Path(path) in files:
            raise UserError(f"{system}: found twice; the seeds of a system are different files")
        files.append(Path(path))
    return paths


def _speakers(gathered: "Gathered", table: Path | None, pattern: str | None) -> list[str] | None:
    """Returns the speaker of each utterance; None if neither an option nor a file gives them."""
    from asrbench.scoring.hypotheses import read_transcripts

    if table is not None and pattern is not None:
        raise UserError("--speaker-of: found together with --speakers; use one of them")
    ids = list(gathered.references)
    if table is not None:
        known = read_transcripts(table)
    elif pattern is not None:
        known = _matches(ids, pattern)
    else:
        return gathered.speakers
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
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(
            f"--speaker-of: found '{pattern}', which is no regular expression: {error}"
        ) from None
    if not expression.groups:
        raise UserError(f"--speaker-of: found '{pattern}', which has no group; '^([^-_]+)' has one")
    with within(
        PATTERN_SECONDS,
        f"--speaker-of: found '{pattern}', which takes more than {PATTERN_SECONDS} s on "
        f"{counted(len(ids), 'id')}; allowed: one without nested repetitions, as '^([^-_]+)'",
    ):
        found = {name: expression.search(name) for name in ids}
    return {name: match[1] for name, match in found.items() if match is not None}


# Printing


def _print(
    comparison: "Comparison", runs: "Mapping[str, Sequence[CountedRun]]", source: str
) -> None:
    from asrbench.cli.terminal_study import PHRASE_COLOURS

    profile = PROFILES[comparison.profile.partition("/")[0]]
    speakers = f" of {counted(comparison.speakers, 'speaker')}" if comparison.speakers else ""
    title = (
        f"{source}: {counted(comparison.utterances, 'utterance')}{speakers}, "
        f"profile {profile}: {profile.words}"
    )
    header = ["system", "", "%", "S", "D", "I", "N"]
    rows = [
        row
        for system in comparison.systems
        for row in _rate_rows(system, runs[system.label], comparison.unit)
    ]
    if comparison.systems[0].interval is not None:
        header.append("95 %")
    else:
        rows = [row[:-1] for row in rows]
    print_table(header, rows, title=title)
    compared = [system for system in comparison.systems if system.difference is not None]
    if compared:
        _print_differences(comparison, compared)
    for system in comparison.systems:
        if system.verdict is not None:
            print_text(
                f"{system.label}: {system.verdict}. {sentence(system.reason)}",
                styles=PHRASE_COLOURS,
            )
    if comparison.statement:
        print_text(f"{comparison.statement}.")


def _rate_rows(system: "System", runs: "Sequence[CountedRun]", unit: Unit) -> Iterator[list[str]]:
    """Yields one row per error rate: its mean over runs, and the edits of all runs together."""
    from asrbench.scoring.run_rates import MEASURE_OF

    label = system.label if len(runs) == 1 else f"{system.label} x{len(runs)}"
    characters = runs[0].counts_of("characters").n
    for measure, name in RATE_NAMES.items():
        counts = [run.counts_of(measure) for run in runs]
        if measure == "jamo" and counts[0].n == characters:
            continue  # without Hangul, jamo are characters
        edits = (
            sum(each.substitutions for each in counts),
            sum(each.deletions for each in counts),
            sum(each.insertions for each in counts),
            sum(each.n for each in counts),
        )
        rate = percent(fmean(run.rates[measure] for run in runs))
        interval = percent_interval(system.interval) if measure == MEASURE_OF[unit] else ""
        yield [label, name, rate, *map(str, edits), interval]


def _print_differences(comparison: "Comparison", compared: Sequence["System"]) -> None:
    rate = RATES[comparison.unit]
    print_table(
        ["system", "diff", "95 %", "relative", "P(better)", "p", "p Holm"],
        [_difference_row(system) for system in compared],
        title=f"{rate} minus that of {comparison.baseline}, in points; below zero is fewer errors",
    )
    if any(system.tests is not None for system in compared):
        print_table(
            ["system", "test", "z", "p", "segments"],
            [row for system in compared for row in _test_rows(system)],
            title="Further tests, for these trained models only",
        )


def _difference_row(system: "System") -> list[str]:
    difference, judgement = system.difference, system.judgement
    assert difference is not None
    assert judgement is not None
    return [
        system.label,
        points(difference.delta),
        points_interval(difference.interval),
        NONE if difference.relative is None else f"{100 * difference.relative:+.1f} %",
        f"{difference.improvement_probability:.3f}",
        p_value(difference.p),
        p_value(judgement.holm_p),
    ]


def _test_rows(system: "System") -> Iterator[list[str]]:
    tests = system.tests
    if tests is None:
        return

    def segments(name: str, found: "Mapsswe") -> list[str]:
        return [system.label, name, f"{found.z:+.3f}", p_value(found.p), str(found.segments)]

    yield segments("MAPSSWE, words", tests.mapsswe_words)
    yield segments("MAPSSWE, characters", tests.mapsswe_characters)
    permutation = f"permutation of {tests.permutation.exchanged}"
    yield [system.label, permutation, NONE, p_value(tests.permutation.p), NONE]
    yield [system.label, "McNemar, utterances right", NONE, p_value(tests.mcnemar.p), NONE]
