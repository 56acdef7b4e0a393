"""The tables of a study for the terminal, Markdown, CSV and LaTeX."""

import csv
import io
import re
from collections.abc import Sequence

from asrbench.base.formatting import NONE, sentence
from asrbench.report.cells import TableCell
from asrbench.report.columns import (
    CSV_TABLE,
    DIFFERENCES_TABLE,
    LATEX_TABLE,
    RATES_TABLE,
    RUN_COLUMNS,
    Column,
    columns_of,
    marked,
)
from asrbench.report.study import Study, StudySystem
from asrbench.stats.verdicts import Verdict

UNDECIDED = (
    *(Verdict.BETTER_MODELS, Verdict.WORSE_MODELS, Verdict.TWO_SEEDS, Verdict.FEW_SPEAKERS),
    *(Verdict.NOT_TRAINED, Verdict.NOT_COMPARABLE),
)
"""The verdicts that say nothing about a variant as a method."""

TextTable = tuple[list[str], list[list[str]]]
"""Header and rows."""


def rates(study: Study) -> TextTable:
    """Returns the rates and the cost of every system."""
    searches = {system.decode for system in study.all_systems}
    decoding = ("real_time_factor",) if len(searches) > 1 else ()
    return _text_table(study, (*RATES_TABLE, *decoding), study.all_systems)


def differences(study: Study) -> TextTable:
    """Returns the difference of every other system to the baseline."""
    return _text_table(study, DIFFERENCES_TABLE, study.all_systems[1:])


def _text_table(study: Study, names: Sequence[str], systems: Sequence[StudySystem]) -> TextTable:
    columns = columns_of(study, names, join_seeds=True)
    rows = [[marked(column.cell(system)) for column in columns] for system in systems]
    return [column.head for column in columns], rows


def summary(study: Study) -> str:
    """Returns which variants are shown to be better or worse, and which cannot be judged."""
    names: dict[Verdict, list[str]] = {verdict: [] for verdict in Verdict}
    for system in study.all_systems[1:]:
        if system.verdict is not None and not system.is_control:
            names[system.verdict].append(system.label)
    found = {f"better than {study.baseline}": names[Verdict.BETTER], "worse": names[Verdict.WORSE]}
    if study.margin is not None:
        found["equivalent"] = names[Verdict.EQUIVALENT]
    findings = "; ".join(f"{word}: {', '.join(labels) or 'none'}" for word, labels in found.items())
    undecided = [label for verdict in UNDECIDED for label in names[verdict]]
    rest = f". Not judged: {', '.join(undecided)}" if undecided else ""
    return f"Shown to be {findings}{rest}."


def verdicts(study: Study) -> list[str]:
    """Returns the summary, a line for the verdict on each system, and one for all variants."""
    if not study.all_systems[1:] or not study.replicates:
        return []
    lines = [
        summary(study),
        *(
            f"{system.label}: {system.verdict}. {sentence(system.reason)}"
            for system in study.all_systems[1:]
            if system.verdict is not None
        ),
    ]
    return [*lines, f"{study.statement}."] if study.statement else lines


# Markdown


def markdown(study: Study) -> str:
    """Returns `table.md`: both tables, the verdicts, the legend and the notes."""
    lines = [study.title, "", *_markdown_table(*rates(study)), ""]
    if study.all_systems[1:] and study.replicates:
        lines += [f"Against {study.baseline}:", ""]
        lines += [*_markdown_table(*differences(study)), ""]
        lines += [f"- {line}" for line in verdicts(study)] + [""]
    lines += [f"{line}  " for line in study.legend]
    if study.all_notes:
        lines += ["", *(f"- {note}" for note in study.all_notes)]
    return "\n".join(lines) + "\n"


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return [f"| {' | '.join(map(_markdown_cell, line))} |" for line in lines]


_MARKDOWN_SPECIAL = str.maketrans({"|": "\\|", "<": "&lt;", "\n": " ", "\r": " "})


def _markdown_cell(text: str) -> str:
    return text.translate(_MARKDOWN_SPECIAL)


# CSV


def comma_separated(study: Study) -> str:
    """Returns `table.csv`: one row per run and decoder.

    Rates are fractions, times are seconds, and edits and `n` are in the unit compared. Text that a
    spreadsheet would take for a formula has an apostrophe before it.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*CSV_TABLE, "run"])
    for system in study.all_systems:
        for run in system.runs:
            cells = (RUN_COLUMNS[name].cell(system, run) for name in CSV_TABLE)
            writer.writerow([*map(_raw, cells), _no_formula(run.run)])
    return file.getvalue()


def _raw(cell: TableCell) -> object:
    if isinstance(cell.value, str):
        return _no_formula(cell.value)
    return f"{cell.value:.6f}" if isinstance(cell.value, float) else cell.value


def _no_formula(text: str) -> str:
    """Returns one line of text that a spreadsheet shows and does not compute (CWE-1236)."""
    line = " ".join(text.splitlines())
    return f"'{line}" if line.lstrip().startswith(("=", "+", "-", "@")) else line


# LaTeX


def latex(study: Study) -> str:
    """Returns `table.tex` for the package booktabs: a row per system with interval and verdict.

    The line below the table says which test its p-values are of, and how they are corrected.
    """
    columns = columns_of(study, LATEX_TABLE, join_seeds=True)
    heads = [
        _latex_head(study, name, column) for name, column in zip(LATEX_TABLE, columns, strict=True)
    ]
    rows = [[_latex_cell(column.cell(each)) for column in columns] for each in study.all_systems]
    note = f"\\multicolumn{{{len(columns)}}}{{l}}{{\\footnotesize $p$: {_latex_p(study)}.}}"
    return "\n".join(
        [
            f"% {' '.join(study.title.splitlines())}",  # the next line would be no comment
            f"\\begin{{tabular}}{{l{'r' * (len(columns) - 2)}l}}",
            "\\toprule",
            _latex_row(heads),
            "\\midrule",
            *map(_latex_row, rows),
            "\\bottomrule",
            *([_latex_row([note])] if study.replicates else []),
            "\\end{tabular}",
            "",
        ]
    )


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + " \\\\"


def _latex_head(study: Study, name: str, column: Column) -> str:
    if name == "holm_p":
        corrected = f", Holm, {study.family}" if study.family > 1 else ""
        return f"$p$ (bootstrap{corrected})"
    return latex_text(f"{column.head} (points)" if name == "difference" else column.head)


def _latex_p(study: Study) -> str:
    """Returns which test the p-values are of, and how they are corrected."""
    drawn = "speakers" if (study.speakers or 0) > 1 else "utterances"
    anew = " and training seeds" if any(len(each.runs) > 1 for each in study.systems) else ""
    corrected = f"; Holm's correction over {study.family} variants" if study.family > 1 else ""
    controls = [system.label for system in study.systems if system.is_control]
    apart = f", not of the control {' and '.join(controls)}" if corrected and controls else ""
    return latex_text(f"two-sided bootstrap over {drawn}{anew}{corrected}{apart}")


def _latex_cell(cell: TableCell) -> str:
    """Returns a cell with its signed numbers as mathematics; a dash stands for none."""
    if cell.text == NONE:
        return "--"
    text = latex_text(marked(cell))
    return text if isinstance(cell.value, str) else re.sub(r"[-+]\d[\d.]*", r"$\g<0>$", text)


_LATEX_SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "\\": "\\textbackslash{}"}
    | {"<": "$<$", ">": "$>$"}
)


def latex_text(text: str) -> str:
    """Returns text that LaTeX prints as it is, in one line."""
    return " ".join(text.splitlines()).translate(_LATEX_SPECIAL)
