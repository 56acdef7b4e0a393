"""The tables of a study for the terminal, Markdown, CSV and LaTeX."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asrbench.base.formatting import NONE, sentence
from asrbench.report.answer import answer
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


def verdicts(study: Study) -> list[str]:
    """Returns a line for the verdict on each system, and one for all variants."""
    if not study.all_systems[1:] or not study.replicates:
        return []
    lines = [
        f"{system.label}: {system.verdict}. {sentence(system.reason)}"
        for system in study.all_systems[1:]
        if system.verdict is not None
    ]
    return [*lines, f"{study.statement}."] if study.statement else lines


# The lines below the tables


@dataclass(frozen=True)
class Remarks:
    """The lines of the legend, and the notes."""

    legend: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, study: Study) -> "Remarks":
        return cls(study.legend, study.all_notes)

    @classmethod
    def shared(cls, studies: Sequence[Study]) -> "Remarks":
        """Returns the lines that all studies have, in the order of the first."""
        first, *others = map(cls.of, studies)
        return cls(
            tuple(line for line in first.legend if all(line in each.legend for each in others)),
            tuple(line for line in first.notes if all(line in each.notes for each in others)),
        )

    def without(self, other: "Remarks") -> "Remarks":
        return Remarks(
            tuple(line for line in self.legend if line not in other.legend),
            tuple(line for line in self.notes if line not in other.notes),
        )


# Markdown


def markdown(*studies: Study) -> str:
    """Returns `table.md`: of each study the answer, both tables, verdicts, legend and notes.

    A line of legend or notes that all studies have stands once, at the end.
    """
    shared = Remarks.shared(studies)
    lines: list[str] = []
    for study in studies:
        lines += [study.title, "", answer(study), "", *_markdown_table(*rates(study)), ""]
        if study.all_systems[1:] and study.replicates:
            lines += [f"Against {study.baseline}:", ""]
            lines += [*_markdown_table(*differences(study)), ""]
            lines += [f"- {line}" for line in verdicts(study)] + [""]
        lines += _markdown_remarks(Remarks.of(study).without(shared))
    return "\n".join([*lines, *_markdown_remarks(shared)][:-1]) + "\n"


def _markdown_remarks(remarks: Remarks) -> Iterator[str]:
    for part in ([f"{line}  " for line in remarks.legend], [f"- {n}" for n in remarks.notes]):
        yield from (*part, "") if part else ()


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return [f"| {' | '.join(map(_markdown_cell, line))} |" for line in lines]


_MARKDOWN_SPECIAL = str.maketrans({"|": "\\|", "<": "&lt;", "\n": " ", "\r": " "})


def _markdown_cell(text: str) -> str:
    return text.translate(_MARKDOWN_SPECIAL)


# CSV


def comma_separated(*studies: Study) -> str:
    """Returns `table.csv`: one row per split, run and decoder.

    Rates are fractions, times are seconds, and edits and `n` are in the unit compared. Text that a
    spreadsheet would take for a formula has an apostrophe before it.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*CSV_TABLE, "run"])
    for system in (system for study in studies for system in study.all_systems):
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


def latex(*studies: Study) -> str:
    """Returns `table.tex` for the package booktabs: a row per system with interval and verdict.

    Each study has a table of its own. The line below it says which test its p-values are of, and
    how they are corrected.
    """
    return "\n".join(map(_latex_table, studies))


def _latex_table(study: Study) -> str:
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
