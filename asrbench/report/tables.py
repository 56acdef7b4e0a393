"""The document of a study as tables: for the terminal, Markdown, CSV and LaTeX.

`Document` is what `asrbench compare --json` prints. Rates in it are fractions; tables show points
of 100.
"""

import csv
import io
from collections.abc import Sequence
from typing import Any

from asrbench.text.profiles import RATES

Document = dict[str, Any]
System = dict[str, Any]

NONE = "-"
MARK = "!"
"""Stands behind the rate of a run that never learned."""

CSV_COLUMNS = (
    *("variant", "decode", "seed", "profile", "cer", "jer", "wer", "swer"),
    *("substitutions", "deletions", "insertions", "n"),
    *("parameters", "step_seconds", "run"),
)
"""Of `table.csv`: a row a run and decode; rates as fractions, edits and `n` in the unit compared,
times in seconds."""


def shown(document: Document) -> list[System]:
    """The baseline, what is compared to it, and what stands apart."""
    return [*document["systems"], *document["apart"]]


def rates(document: Document) -> tuple[list[str], list[list[str]]]:
    """Header and rows: what each system is, gets wrong, and costs."""
    seeds = document["seeds"]
    rate = f"{RATES[document['unit']]} %"
    header = ["variant", "params", rate, "95 %", f"seeds {' '.join(map(str, seeds))}", "step"]
    rows = []
    for system in shown(document):
        cost, by_seed = system["cost"], {run["seed"]: run for run in system["runs"]}
        rows.append(
            [
                system["label"],
                amount(cost["parameters"]),
                percent(system["rate"]) + ("" if system["trained"] else MARK),
                span(system["interval"]),
                " ".join(_rate(by_seed.get(seed)) for seed in seeds),
                NONE if cost["step_ratio"] is None else f"{cost['step_ratio']:.2f}x",
            ]
        )
    return header, rows


def differences(document: Document) -> tuple[list[str], list[list[str]]]:
    """Header and rows: every other system against the baseline."""
    header = ["variant", "diff", "95 %", "p Holm", "verdict"]
    rows = []
    for system in shown(document)[1:]:
        found = system["difference"]
        rows.append([system["label"], *_difference(found), short(system["verdict"])])
    return header, rows


def _difference(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return [NONE] * 3
    interval = span(found["interval"], signed=True)
    return [points(found["delta"]), interval, probability(found["holm_p"])]


def short(verdict: str | None) -> str:
    """As much of a verdict as a cell holds."""
    return (verdict or NONE).removesuffix(" of a difference")


def markdown(document: Document) -> str:
    """`table.md`: both tables, the verdicts in words, and what a reader must know of them."""
    parts = [document["title"], "", *_markdown_table(*rates(document)), ""]
    if shown(document)[1:] and document["replicates"]:
        parts += [f"Against {document['baseline']}:", ""]
        parts += [*_markdown_table(*differences(document)), ""]
        parts += [f"- {line}" for line in verdicts(document)] + [""]
    parts += [f"{line}  " for line in document["legend"]]
    if document["notes"]:
        parts += ["", *(f"- {note}" for note in document["notes"])]
    return "\n".join(parts) + "\n"


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def verdicts(document: Document) -> list[str]:
    """A sentence each, and the one that speaks of all systems at once."""
    said = [
        f"{system['label']}: {system['verdict']}. {system['reason']}."
        for system in shown(document)[1:]
        if system["verdict"] is not None
    ]
    return [*said, document["statement"]] if document["statement"] else said


def comma_separated(document: Document) -> str:
    """`table.csv`."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for system in shown(document):
        for run in system["runs"]:
            seconds = run["step_seconds"]
            writer.writerow(
                [
                    *(system["variant"], system["decode"], run["seed"], system["profile"]),
                    *(f"{run[rate]:.6f}" for rate in ("cer", "jer", "wer", "swer")),
                    *(run["substitutions"], run["deletions"], run["insertions"], run["n"]),
                    system["cost"]["parameters"],
                    None if seconds is None else f"{seconds:.6f}",
                    run["run"],
                ]
            )
    return file.getvalue()


def latex(document: Document) -> str:
    """`table.tex`, for the package booktabs: a row a system, with intervals and verdicts."""
    rate = f"{RATES[document['unit']]} (\\%)"
    header = ["variant", "params", rate, "95\\,\\%", "$\\Delta$", "95\\,\\%", "$p$", ""]
    lines = []
    for system in shown(document):
        difference = _difference(system["difference"])
        cells = [
            system["label"],
            amount(system["cost"]["parameters"]),
            percent(system["rate"]) + ("" if system["trained"] else MARK),
            span(system["interval"]),
            *difference,
            short(system["verdict"]) if system["verdict"] else "baseline",
        ]
        lines.append(" & ".join(map(_escaped, cells)) + " \\\\")
    return "\n".join(
        [
            f"% {document['title']}",
            f"\\begin{{tabular}}{{l{'r' * (len(header) - 2)}l}}",
            "\\toprule",
            " & ".join(header) + " \\\\",
            "\\midrule",
            *lines,
            "\\bottomrule",
            "\\end{tabular}",
            "",
        ]
    )


_SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "\\": "\\textbackslash{}"}
    | {"<": "$<$", ">": "$>$"}
)


def _escaped(text: str) -> str:
    return text.translate(_SPECIAL)


# Figures as text


def _rate(run: dict[str, Any] | None) -> str:
    if run is None:
        return NONE
    return percent(run["rate"]) + (MARK if run["failure"] else "")


def percent(rate: float) -> str:
    return f"{100 * rate:.2f}"


def points(difference: float) -> str:
    # Adding zero turns a rounded -0.0 into 0.0.
    return f"{round(100 * difference, 2) + 0:+.2f}"


def span(interval: Sequence[float] | None, *, signed: bool = False) -> str:
    if interval is None:
        return NONE
    low, high = (points(end) if signed else percent(end) for end in interval)
    return f"{low} to {high}"


def probability(p: float | None) -> str:
    if p is None:
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def amount(count: int | None) -> str:
    """A number of parameters: 4.01M, 512k."""
    if count is None:
        return NONE
    if count < 1_000_000:
        return f"{count / 1_000:.0f}k"
    return f"{count / 1_000_000:.{1 if count >= 10_000_000 else 2}f}M"
