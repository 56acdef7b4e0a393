"""The pages on the run folder, the corpus folder, and the JSON that commands print.

They are made of the docstrings of the modules that own the files, and of the typed records.
"""

import inspect
import re
from types import ModuleType

from markdown_parts import code, plain, table
from record_fields import docstrings, record_text, records_within

from asrbench.data import corpus, corpus_writer
from asrbench.experiment import run_folder
from asrbench.experiment.run_records import Environment, EpochRow, Figures
from asrbench.report.study import Study
from asrbench.stages.corpus.records import CorpusStatistics
from asrbench.stats.record import ScoreReport

ENTRY = re.compile(r"^ {4}(\S.*?) {2,}(\S.*)$")
"""A line of a layout: the name of a file, and what it holds."""
MORE = re.compile(r"^ {10,}(\S.*)$")
"""A line that goes on with what the file above holds."""

RUN = """# The run folder

`asrbench train` makes a folder for each run. `asrbench eval`, `inspect` and `compare` read it, and
`asrbench verify` tells whether a file is damaged.

"""

RECORDED = """The tables below have the keys of the JSON files that asrbench reads back. The files
hold further keys, which are for people.

"""

CORPUS = """# The corpus folder

"""

COLUMNS = """## The columns of an Arrow file

"""

JSON = """# JSON of the commands

`asrbench compare` writes `study.json`, and `asrbench compare --json` prints it: the record
[Study](#study). `asrbench score --json` prints a [ScoreReport](#scorereport), and
`asrbench corpus --json` [CorpusStatistics](#corpusstatistics). Rates are fractions, not per cent,
times are seconds, and nothing is rounded. Where a description says None, the JSON has null.

"""


def run_folder_page() -> str:
    """Returns the page on the run folder and its JSON files."""
    files = {Environment: "env.json", EpochRow: "history.jsonl", Figures: "scores.json"}
    records = records_within(*files)
    texts = (record_text(each).rstrip() + "\n\n" for each in records)
    return RUN + layout(run_folder) + RECORDED + "".join(texts)


def corpus_folder_page() -> str:
    """Returns the page on the corpus folder and the columns of its Arrow files."""
    words = docstrings(corpus_writer.Utterance)
    rows = [
        [code(field.name), code(str(field.type)), plain(words[field.name])]
        for field in corpus_writer.SCHEMA
    ]
    return CORPUS + layout(corpus) + COLUMNS + table(["column", "Arrow type", "meaning"], rows)


def json_page() -> str:
    """Returns the page on the JSON that commands print."""
    return JSON + "".join(map(record_text, records_within(Study, ScoreReport, CorpusStatistics)))


def layout(module: ModuleType) -> str:
    """Returns the docstring of a module, its layout of files as a table."""
    text, rows = "", [[""]]
    for line in [*inspect.cleandoc(module.__doc__ or "").splitlines(), ""]:
        if entry := ENTRY.match(line):
            rows.append(list(entry.groups()))
        elif more := MORE.match(line):
            rows[-1][-1] += f" {more[1]}"
        elif rows[1:]:
            cells = [[code(name), plain(about)] for name, about in rows[1:]]
            text += f"\n\n{table(['file', 'what it holds'], cells)}\n"
            rows = rows[:1]
        else:
            text += f"{plain(line)}\n"
    return f"{text}\n"
