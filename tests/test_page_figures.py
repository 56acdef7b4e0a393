"""Every figure that docs/an4.md gives stands in a committed file.

Tables and verdicts are those of `results/published/an4/study.json`. A figure in the text on AN4 has
to be in one of `sentences`, which are made from the committed files, or in one of `from_git`, which
quote older commits.
"""

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from asrbench.analysis.gradients import depth_ratio
from asrbench.base.files import read_jsonl
from asrbench.base.formatting import percent
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec_file import load_study
from asrbench.report import tables
from asrbench.report.study import Analysis, Study, StudySystem
from asrbench.scoring.edit_counts import character_errors
from asrbench.stages.compare.study import study_of
from asrbench.stats.verdicts import Verdict

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/an4.md").read_text(encoding="utf-8")
PLANNING = (ROOT / "docs/planning.md").read_text(encoding="utf-8")
FIGURE = re.compile(r"(?<![\w.,-])[+-]?\d+(?:[.,]\d+)*(?![\w-])")
"""A number that is no part of a name, as in `ds2` or `f148c62`."""


@pytest.fixture(scope="module")
def study() -> Study:
    text = (ROOT / "results/published/an4/study.json").read_text(encoding="utf-8")
    (found,) = Analysis.from_json(text).studies
    return found


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return Run.find([ROOT / "results/published/an4"])


def prose() -> str:
    """The text of the page in one line, without tables, lists, code, links and pictures."""
    kept = [
        line for line in PAGE.splitlines()[1:] if not line.startswith(("|", "- ", "    ", "!["))
    ]
    text = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", ""), " ".join(kept))
    return " ".join(text.split())


# Tables


def page_tables() -> Iterator[tuple[list[str], list[list[str]]]]:
    for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        header, _, *rows = [
            [cell.strip() for cell in line.strip("|").split(" | ")] for line in block.splitlines()
        ]
        yield header, rows


def test_tables_are_those_of_the_study(study: Study) -> None:
    """The page may leave columns out, but no row."""
    found = list(page_tables())
    assert len(found) == 2
    for (header, rows), (names, expected) in zip(
        found, (tables.rates(study), tables.differences(study)), strict=True
    ):
        places = [names.index(name) for name in header]
        assert rows == [[row[place] for place in places] for row in expected]


def test_verdicts_are_those_of_the_study(study: Study) -> None:
    given = [line.removeprefix("- ") for line in PAGE.splitlines() if line.startswith("- ")]
    assert given
    assert set(given) <= set(tables.verdicts(study))


def test_compare_makes_the_committed_tables_again_from_the_hypotheses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)  # the commands in the record name the folder
    found = study_of([Path("results/published/an4")])
    for name, form in (
        ("table.md", tables.markdown),
        ("table.csv", tables.comma_separated),
        ("table.tex", tables.latex),
    ):
        assert form(found) == (ROOT / "results/published/an4" / name).read_text(encoding="utf-8"), (
            name
        )


@pytest.mark.slow
def test_what_is_equivalent_within_a_point() -> None:
    """The page says that only the wider baseline is."""
    found = study_of([ROOT / "results/published/an4"], margin=1, replicates=2000)
    equivalent = [s.label for s in found.systems if s.verdict is Verdict.EQUIVALENT]
    assert equivalent == ["ds2_wide"]


# Text


def sentences(study: Study, runs: list[Run]) -> Iterator[str]:
    """The phrases of the section that have a figure, as the committed files give it."""
    systems = {system.label: system for system in study.systems}
    yield (
        f"Test CER on {study.utterances} utterances of {study.speakers} speakers "
        f"(N = {study.n:,} characters"
    )
    yield f"{study.replicates:,} bootstrap replicates over speakers and training seeds"
    yield f"its run of today has {percent(systems['ds2_selfattn_deck'].cer)} %"
    least, most = (percent(end) for end in ends(run.cer for run in systems["ds2_twattn"].runs))
    yield f"of ds2_twattn lie between {least} and {most} %"
    plain, attention = [], []
    for run in runs:
        ratio = depth_ratio(run.cell.seed, run.history())
        assert ratio is not None
        without = run.cell.variant in ("ds2", "ds2_wide")
        (plain if without else attention).append(ratio.typical())
    low, high = ends(plain)
    yield f"is {low:.1f} to {high:.1f} times that in the highest without attention"
    low, high = ends(attention)
    yield f"and {low:.1f} to {high:.1f} times with it"
    low, high = ends(
        sum(row["train_seconds"] + row["dev_seconds"] for row in run.history()) / 60 for run in runs
    )
    (threads,) = {run.env["threads"] for run in runs}
    assert threads == 1
    yield f"A run took {low:.0f} to {high:.0f} min with one thread"
    yield from seen_texts(systems)
    yield from simulated()
    # CMU's training part, which `test_prep_an4.py` counts.
    yield f"948 + {study.utterances} utterances"
    yield f"all {948 + study.utterances:,} utterances instead of {study.utterances}"


def ends(values: Iterable[float]) -> tuple[float, float]:
    found = list(values)
    return min(found), max(found)


def seen_texts(systems: dict[str, StudySystem]) -> Iterator[str]:
    """The rates on the texts that occur in train and on the others, from the hypotheses."""
    rates = {}
    for label in ("ds2", "ds2_crossattn [attention]"):
        rates[label] = [seen_rate(systems[label], in_train=flag) for flag in (True, False)]
    rows = hypotheses(systems["ds2"])[0]
    shared = sum(row["in_train"] for row in rows)
    yield f"{shared} of the {len(rows)} test texts also occur in train"
    seen, unseen = map(percent, rates["ds2"])
    yield f"On these ds2 has {seen} %, on the others {unseen} %"
    seen, unseen = map(percent, rates["ds2_crossattn [attention]"])
    yield f"For ds2_crossattn [attention] it is {seen} % and {unseen} %"


def hypotheses(system: StudySystem) -> list[list[dict[str, Any]]]:
    return [
        read_jsonl(Run(ROOT / run.run).hypotheses_path("test", system.decode))
        for run in system.runs
    ]


def seen_rate(system: StudySystem, *, in_train: bool) -> float:
    """The CER over one group of texts, mean over runs."""
    found = []
    for rows in hypotheses(system):
        group = [row for row in rows if row["in_train"] is in_train]
        references, heard = ([row[key] for row in group] for key in ("reference", "hypothesis"))
        found.append(character_errors(references, heard, "verbatim").rate)
    return sum(found) / len(found)


def simulated() -> Iterator[str]:
    """How often equal systems are found different, in the tables of docs/statistics.md."""
    page = (ROOT / "docs/statistics.md").read_text(encoding="utf-8")

    def table(title: str) -> list[dict[str, str]]:
        lines = page.split(f"**{title}**")[1].strip().split("\n\n")[0].splitlines()
        header, _, *rows = [[cell.strip() for cell in line[2:-2].split(" | ")] for line in lines]
        return [dict(zip(header, row, strict=True)) for row in rows]

    def false_verdicts(*special: str) -> tuple[float, float]:
        """The least and the most of both worlds, with three seeds or more."""
        return ends(
            float(share)
            for row in table("Families without a true difference")
            if row["special"] in special and int(row["seeds"]) >= 3
            for share in row["verdict now %"].split(" / ")
        )

    low, high = false_verdicts("-")
    yield f"three seeds or five, {low:.0f} to {high:.0f} of 100 had a false verdict"
    _, worst = false_verdicts("unsteady baseline", "unsteady variant")
    yield f"and up to {worst:.0f} of 100 where the training of one system varies six times as much"
    (kaldi,) = (
        row
        for row in table("Noise called a difference, by other tools")
        if "Kaldi" in next(iter(row.values()))
    )
    shares = [cell.split("; ")[1].split(" / ") for cell in [*kaldi.values()][1:]]
    low, high = ends(float(share) for both in shares for share in both)
    yield f"called noise a difference in {low:.0f} to {high:.0f} of 100"


FROM_GIT = {
    "of the runs at commit e7f4ede, one seed of each, ds2_selfattn_deck had 6.74 % and the verdict "
    "*worse* (`results/an4/table.md` at a1227d8)": (
        ("a1227d8:results/an4/table.md", "| ds2_selfattn_deck | 6.49M | 6.74 |"),
        ("a1227d8:results/an4/table.md", "| ds2_selfattn_deck | +2.26 | +1.02 to +3.57 | 0.002 |"),
        ("a1227d8:results/an4/table.md", "without a second seed of both"),
    ),
    "(commit 38078ca) took 30 epochs and dropout 0.1, without speed perturbation": (
        ("38078ca:experiments/an4/ds2.yaml", "epochs: 30"),
        ("38078ca:experiments/an4/ds2.yaml", "dropout: 0.1"),
    ),
    "its test table was committed in 375e415": (
        ("375e415:results/an4/table.md", "| ds2 | 3.34M | 5.85 |"),
    ),
    "(e7f4ede) took 45 epochs and dropout 0.3, the better of two tries": (
        ("e7f4ede:experiments/an4/ds2.yaml", "epochs: 45"),
        ("e7f4ede:experiments/an4/ds2.yaml", "dropout: 0.3"),
    ),
}
"""Phrases on older commits, with files of those commits and what stands in them."""


def test_every_figure_in_the_text_is_in_a_committed_file(study: Study, runs: list[Run]) -> None:
    text = prose()
    for phrase in (*sentences(study, runs), *FROM_GIT):
        assert phrase in text, phrase
        text = text.replace(phrase, "")
    assert FIGURE.findall(text) == []


@pytest.mark.parametrize(
    ("place", "expected"), [pair for pairs in FROM_GIT.values() for pair in pairs]
)
def test_older_commits_have_what_the_text_says_of_them(place: str, expected: str) -> None:
    shown = subprocess.run(["git", "-C", str(ROOT), "show", place], capture_output=True, text=True)
    if shown.returncode != 0:
        pytest.skip("the history of the repository is not here")
    assert expected in shown.stdout


def test_commits_are_those_of_the_runs(runs: list[Run]) -> None:
    commits = {run.cell.variant: run.env["commit"][:7] for run in runs}
    wide = commits.pop("ds2_wide")
    (others,) = set(commits.values())
    assert f"made at commit {others}, those of `ds2_wide` at {wide}" in prose()


# Beyond AN4


def test_the_speed_is_that_of_the_benchmarks() -> None:
    """docs/planning.md quotes four figures of docs/performance.md."""
    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")

    def row(name: str) -> list[str]:
        (line,) = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", page, re.MULTILINE)
        return [cell.strip() for cell in line.split("|")]

    step = float(row("KoSpeech")[2].split()[0])
    share = float(row("share of the bf16 peak, %")[0].split()[0])
    whole, rates = (median(map(float, row(name)[:3])) for name in ("all of compare", "rates alone"))
    text = " ".join(PLANNING.split("\n## ")[0].split())
    assert (
        f"({step:.1f} times as fast on these two cores, at {share:.0f} % of their bf16 peak" in text
    )
    assert f"on a hundred runs ({whole:.1f} s; the rates alone {rates:.1f} s)" in text


def test_the_example_of_plan_is_what_the_command_printed() -> None:
    """docs/plan.txt is the output of the command for the spec as it is."""
    section = PLANNING.split("## Known cost")[1].split("\n## ")[0]
    command, dots, *lines = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    assert command == "$ asrbench plan experiments/an4/ablation.yaml --results mine --hours 1"
    assert dots == "..."
    printed = (ROOT / "docs/plan.txt").read_text(encoding="utf-8").splitlines()
    assert lines == [line for line in printed if line][-len(lines) :]
    cells = load_study(ROOT / "experiments/an4/ablation.yaml", []).cells
    names = [line.split()[0] for line in lines if re.match(r" \w+ +\d+ +\d+ of \d+ ", line)]
    assert names == list(dict.fromkeys(cell.variant for cell in cells))


def test_figures_are_told_from_names() -> None:
    text = "ds2 has 4.69 % at f148c62, N = 2,565, -0.70 to +1.77, on 130 texts of AN4."
    assert FIGURE.findall(text) == ["4.69", "2,565", "-0.70", "+1.77", "130"]
