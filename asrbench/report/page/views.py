"""The study document as what a page shows: verdicts, and tables whose cells know how they sort."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from asrbench.report.page.cells import (
    NONE,
    Cell,
    Table,
    amount,
    between,
    label,
    measured,
    points,
    probability,
    rated,
    visible,
)
from asrbench.text.profiles import RATES

Study = Mapping[str, Any]
System = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """`system` `verb` `word` `other` is a sentence; `sign` says it to who does not see the colour
    of `kind`."""

    kind: str
    sign: str
    system: str
    verb: str
    word: str
    other: str
    reason: str


SIGNS = {
    "better": ("better", "✓"),
    "worse": ("worse", "✗"),
    "no evidence of a difference": ("open", "≈"),
    "not trained": ("void", "∅"),
    "not comparable": ("void", "≠"),
    None: ("base", "●"),
}
"""Of each verdict: the class in `page.css` and a sign."""

_SENTENCES = {
    "better": (" is", "than {}"),
    "worse": (" is", "than {}"),
    "no evidence of a difference": (":", "to {}"),
    "not trained": (" is", ""),
    "not comparable": (" is", "with {}"),
}
"""What stands before and after the verdict."""


def facts(study: Study) -> list[tuple[str, str]]:
    """What every figure of the page stands on."""
    corpus = study["corpus"]
    speakers = study.get("speakers")
    return [
        ("corpus", f"{corpus['name']} ({corpus['fingerprint'][:8]})"),
        ("split", study["split"]),
        ("utterances", f"{study['utterances']:,}"),
        ("speakers", f"{speakers:,}" if speakers else "not known"),
        (f"N ({study['unit']}s)", f"{study['n']:,}"),
        ("profile", f"{study['profile']}: {study['profile_words']}"),
        ("seeds", ", ".join(map(str, study["seeds"]))),
        ("bootstrap", f"{study['replicates']:,} replicates"),
    ]


def verdicts(study: Study) -> list[Verdict]:
    return [
        _verdict(system, study["baseline"])
        for system in _shown(study)
        if system["verdict"] is not None
    ]


def _verdict(system: System, baseline: str) -> Verdict:
    word = system["verdict"]
    verb, other = _SENTENCES[word]
    return Verdict(
        *SIGNS[word], system["label"], verb, word, other.format(baseline), system["reason"]
    )


def _shown(study: Study) -> list[System]:
    return [*study["systems"], *study["apart"]]


# Tables


def results(study: Study) -> Table:
    """The table of the study: one row a system, every seed shown."""
    seeds, baseline = study["seeds"], study["baseline"]
    rate = RATES[study["unit"]]
    columns = (
        ("variant", "and decoding where it is not greedy"),
        ("verdict", f"against {baseline}, corrected for the number of variants"),
        (f"{rate} %", "mean over seeds"),
        ("95 % interval", "two-level bootstrap over seeds and speakers or utterances"),
        ("sd", "sample standard deviation over seeds, in points"),
        *((f"seed {seed}", f"{rate} in percent") for seed in seeds),
        (
            "difference (95 %)",
            f"points, minus {baseline}, and interval; below zero is fewer errors",
        ),
        ("p (Holm)", "corrected over the family of variants"),
        ("params", "parameters of the model"),
        ("step", f"time of an optimizer step, relative to {baseline}"),
    )
    rows = tuple(tuple(_result(system, seeds)) for system in _shown(study))
    says = "Click a heading, or press Enter on it, to sort."
    return Table("results", "Results", says, columns, rows)


def _result(system: System, seeds: Sequence[int]) -> Iterator[Cell]:
    kind, sign = SIGNS[system["verdict"]]
    runs = {run["seed"]: run for run in system["runs"]}
    yield label(system["label"])
    yield Cell(f"{sign} {system['verdict'] or 'baseline'}", system["verdict"] or "", kind)
    yield rated(system["rate"], "" if system["trained"] else "failed")
    yield between(system["interval"])
    yield rated(system["spread"])
    for seed in seeds:
        run = runs.get(seed)
        yield rated(run["rate"], "failed" if run["failure"] else "") if run else Cell(NONE)
    difference = system["difference"]
    yield points(difference["delta"], difference["interval"]) if difference else Cell(NONE)
    yield probability(difference["holm_p"]) if difference else Cell(NONE)
    yield amount(system["cost"]["parameters"])
    yield measured(system["cost"]["step_ratio"], ".2f", "×")


def further(study: Study) -> list[Table]:
    return [_tests(study), _costs(study), _runs(study)]


def _tests(study: Study) -> Table:
    columns = (
        ("variant", ""),
        ("P(better)", "share of bootstrap replicates in which it has fewer errors"),
        ("p", "of the two-level bootstrap, before correction"),
        ("p (permutation)", "labels of pairs swapped at random"),
        ("p (McNemar)", "utterances that are right as a whole"),
        ("MAPSSWE words: z", "matched pairs of segments"),
        ("p", "of it"),
        ("characters: z", "matched pairs of segments, by character"),
        ("p", "of it"),
        ("could be shown", "smallest true difference with 80 % power, points"),
        ("seeds needed", "about, for a difference of the size seen"),
        ("or utterances", "about, for a difference of the size seen"),
    )
    rows = tuple(
        tuple(_test(system)) for system in study["systems"] if system["difference"] is not None
    )
    return Table("tests", "Tests", "Each against the baseline.", columns, rows)


def _test(system: System) -> Iterator[Cell]:
    found = system["difference"]
    yield label(system["label"])
    yield measured(found["improvement_probability"], ".3f")
    for key in ("p", "permutation_p", "mcnemar_p"):
        yield probability(found[key])
    for unit in ("word", "character"):
        test = (found["mapsswe"] or {}).get(unit)
        yield measured(test["z"] if test else None, "+.2f")
        yield probability(test["p"] if test else None)
    yield rated(found["smallest_difference"])
    yield measured(found["more_seeds"], ",d")
    yield measured(found["more_utterances"], ",d")


def _costs(study: Study) -> Table:
    columns = (
        ("variant", ""),
        ("parameters", ""),
        ("GFLOPs", "forward, a second of audio"),
        ("step, ms", "time of an optimizer step"),
        ("step", f"relative to {study['baseline']}"),
        ("memory, GB", "peak while training"),
        ("real-time factor", "decoding time over duration"),
    )

    def row(system: System) -> Iterator[Cell]:
        cost = system["cost"]
        flops, step = cost["flops_per_audio_second"], cost["step_seconds"]
        yield label(system["label"])
        yield amount(cost["parameters"])
        yield measured(None if flops is None else flops / 1e9, ".2f")
        yield measured(None if step is None else 1e3 * step, ",.1f")
        yield measured(cost["step_ratio"], ".2f", "×")
        yield measured(cost["memory_gb"], ".2f")
        yield measured(cost["real_time_factor"], ".4f")

    rows = tuple(tuple(row(system)) for system in _shown(study))
    return Table("costs", "Cost", "Beside the gain.", columns, rows)


def _runs(study: Study) -> Table:
    columns = (
        ("run", ""),
        ("seed", ""),
        ("CER %", "by character"),
        ("WER %", "by word"),
        ("SWER %", "by word, spacing forgiven"),
        ("JER %", "by jamo"),
        ("substituted", ""),
        ("deleted", ""),
        ("inserted", ""),
        ("failure", "why no difference is drawn from it"),
    )

    def row(system: System, run: Mapping[str, Any]) -> Iterator[Cell]:
        decode = system["label"].removeprefix(system["variant"])
        yield Cell(run["run"] + decode, run["run"] + decode)
        yield measured(run["seed"], "d")
        for key in ("cer", "wer", "swer", "jer"):
            yield rated(run[key])
        for key in ("substitutions", "deletions", "insertions"):
            yield measured(run[key], ",d")
        yield Cell(run["failure"] or "", run["failure"], "failed" if run["failure"] else "")

    rows = tuple(tuple(row(system, run)) for system in _shown(study) for run in system["runs"])
    return Table("runs", "Every run", "Never the best seed: all of them.", columns, rows)


def breakdown(study: Study) -> list[Table]:
    """Where the errors are: by length, by kind and by speaker."""
    parts = (study.get("lengths") or {}).items()
    made = [
        *(_lengths(name, part) for name, part in parts if part),
        _kinds(study),
        _speakers(study),
    ]
    return [table for table in made if table.rows]


def _lengths(name: str, part: Mapping[str, Any]) -> Table:
    name = name.replace("_", " ")
    columns = (
        ("variant", ""),
        *(
            (
                f"{one['low']:.3g}–{one['high']:.3g}",
                f"{one['utterances']:,} utterances, CER in percent",
            )
            for one in part["bins"]
        ),
        (f"per {part['unit']}", "how the difference to the baseline changes, in points"),
        ("p (Holm)", "of that change, over all variants"),
        ("in words", ""),
    )
    labels = list(part["bins"][0]["systems"]) if part["bins"] else []

    def row(system: str) -> Iterator[Cell]:
        change = part["interactions"].get(system)
        yield label(system)
        for one in part["bins"]:
            yield rated(one["systems"][system]["cer"])
        yield measured(100 * change["slope"], "+.3f") if change else Cell(NONE)
        yield probability(change["holm_p"]) if change else Cell(NONE)
        yield Cell(change["words"], change["words"], "words") if change else Cell("", None, "words")

    return Table(
        f"by-{name.replace(' ', '-')}",
        f"By {name}",
        f"CER in percent, in bins of {name} ({part['unit']}s).",
        columns,
        tuple(tuple(row(system)) for system in labels),
    )


def _kinds(study: Study) -> Table:
    columns = (
        ("variant", ""),
        ("substituted", "a run, in percent of reference characters; the next two likewise"),
        ("deleted", ""),
        ("inserted", ""),
        ("at word edges", "percent of the first and last characters of words that are wrong"),
        ("inside words", "percent of the characters between that are wrong"),
        ("spaces", "percent of the spaces that are wrong"),
        ("empty", "hypotheses without anything, of all runs"),
        ("looped", "hypotheses that repeat themselves as the reference does not"),
        ("truncated", "hypotheses whose end is missing"),
    )
    rows = tuple(tuple(_kind(label, kinds)) for label, kinds in (study.get("kinds") or {}).items())
    return Table(
        "kinds",
        "By kind",
        "In percent, over all seeds of a variant; the last three count hypotheses.",
        columns,
        rows,
    )


def _kind(name: str, kinds: Mapping[str, Any]) -> Iterator[Cell]:
    n = kinds["n"]
    yield label(name)
    for key in ("substitutions", "deletions", "insertions"):
        yield rated(kinds[key] / n if n else None)
    edges, spaces, odd = kinds["edges"], kinds["spaces"], kinds["hypotheses"]
    yield rated(edges["edge_rate"] if edges else None)
    yield rated(edges["inside_rate"] if edges else None)
    yield rated(spaces["errors"] / spaces["n"] if spaces and spaces["n"] else None)
    for key in ("empty", "looped", "truncated"):
        yield measured(odd[key], ",d")


def _speakers(study: Study) -> Table:
    labels = [system["label"] for system in study["systems"]]
    columns = (
        ("speaker", ""),
        ("utterances", ""),
        (f"N ({study['unit']}s)", ""),
        *((name, "percent, mean over seeds") for name in labels),
    )
    rows = tuple(
        (
            label(row["speaker"] or "not known"),
            measured(row["utterances"], ",d"),
            measured(row["n"], ",d"),
            *(rated(row["cer"].get(name)) for name in labels),
        )
        for row in study.get("speakers_table") or []
    )
    return Table("speakers", "By speaker", "CER in percent.", columns, rows)


@dataclass(frozen=True)
class Confusions:
    """What one system heard for what, the most frequent first: (said, heard, how often)."""

    system: str
    groups: tuple[tuple[str, tuple[tuple[str, str, int], ...]], ...]


def confusions(study: Study) -> list[Confusions]:
    return [
        Confusions(name, tuple(_groups(kinds)))
        for name, kinds in (study.get("kinds") or {}).items()
    ]


def _groups(
    kinds: Mapping[str, Any],
) -> Iterator[tuple[str, tuple[tuple[str, str, int], ...]]]:
    named = {name: kinds["confusions"][name] for name in ("substituted", "deleted", "inserted")}
    for part in ("onset", "vowel", "coda") if kinds["jamo"] else ():
        named[f"{part}s of syllables"] = kinds["jamo"][part]["confusions"]
    for name, found in named.items():
        if found:
            yield (
                name,
                tuple(
                    (visible(each["reference"]), visible(each["hypothesis"]), each["count"])
                    for each in found
                ),
            )


def folded(study: Study) -> dict[str, Any]:
    """Specs and environments, those that are equal together."""
    return {
        "specs": _together((spec["run"], spec["yaml"]) for spec in study["specs"]),
        "environments": _together(
            (one["run"], "\n".join(f"{k}: {v}" for k, v in one.items() if k != "run"))
            for one in study["environments"]
        ),
    }


def _together(pairs: Iterable[tuple[str, str]]) -> list[tuple[list[str], str]]:
    unique = sorted(dict.fromkeys(pairs), key=lambda pair: pair[1])
    found = [([run for run, _ in group], text) for text, group in groupby(unique, lambda p: p[1])]
    return sorted(found)
