"""Error rates of the statistics of `asrbench compare`, in simulated studies.

Writes its tables into docs/statistics.md, below the line that says so. Studies are drawn from two
worlds of different make, `simulated.py` and `copula.py`, so that the procedure does not only fit
the world it was developed with. Where a cell has two figures, they are those of the two worlds.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from alternatives import ALTERNATIVES
from copula import CopulaWorld
from page import Table, markdown, run
from simulated import World
from simulated_studies import Study, without_zero

from asrbench.base.errors import UserError
from asrbench.base.files import write_text

PAGE = Path(__file__).resolve().parents[1] / "docs" / "statistics.md"
MARK = "<!-- Below this line: benchmarks/calibration.py -->\n"

SETS = [(130, 0), (130, 10), (3000, 0), (3000, 300)]
"""Utterances and speakers: test sets of the size of AN4's and of KsponSpeech's."""
TRAINING_SD = 0.1
"""Standard deviation of a rate between training seeds, divided by the rate."""


def world(
    utterances: int, speakers: int, seeds: int, training_sd: float = TRAINING_SD, systems: int = 2
) -> World:
    """Returns equal systems. With one seed there is no training variance: the models are equal."""
    training_sd = training_sd if seeds > 1 else 0.0
    return World(utterances, speakers, (seeds,) * systems, (training_sd,) * systems)


NULL = [
    *(world(*size, seeds=1) for size in SETS),
    *(world(*size, seeds=2) for size in SETS),
    *(world(*size, seeds=3) for size in SETS),
    *(world(*SETS[i], seeds=5) for i in (0, 1, 3)),
    world(130, 0, seeds=10),
    *(world(130, 0, seeds=seeds, training_sd=0.0) for seeds in (2, 3, 5)),
]
HARD = {
    "3 seeds against 10": World(130, 0, (3, 10), (0.1, 0.1)),
    "seeds of both correlated by 0.5": World(130, 0, (3, 3), (0.1, 0.1), matched=0.5),
    "training sd 5 and 15 %": World(130, 0, (3, 3), (0.05, 0.15)),
    "training sd 1 and 30 %": World(130, 0, (3, 3), (0.01, 0.3)),
    "training sd 1 and 30 %, 10 seeds": World(130, 0, (10, 10), (0.01, 0.3)),
}
SPEAKERS = [
    *((130, speakers, seeds) for seeds in (1, 3) for speakers in (2, 3, 4, 6, 10, 20)),
    (1000, 100, 1),
    (1000, 100, 3),
]
SIX = partial(world, systems=6)
FAMILIES = {
    "": [
        *(SIX(130, 0, seeds) for seeds in (1, 2, 3, 5)),
        *(SIX(130, 10, seeds) for seeds in (2, 3, 5)),
        *(SIX(1000, 100, seeds) for seeds in (2, 3, 5)),
        *(SIX(3000, 300, seeds) for seeds in (2, 3, 5)),
        world(3000, 300, 3, systems=21),
    ],
    "training varies, one seed": [
        replace(SIX(utterances, speakers, 1), training_sd=(0.1,) * 6)
        for utterances, speakers in (SETS[1], (1000, 100), SETS[3])
    ],
    "unsteady baseline": [
        replace(SIX(utterances, speakers, seeds), training_sd=(0.3, *(0.05,) * 5))
        for utterances, speakers in (SETS[1], (1000, 100), SETS[3])
        for seeds in (2, 3, 5)
    ],
    "unsteady variant": [
        replace(SIX(utterances, speakers, seeds), training_sd=(*(0.05,) * 5, 0.3))
        for utterances, speakers in (SETS[1], (1000, 100), SETS[3])
        for seeds in (2, 3, 5)
    ],
}
"""Equal systems, by what is special about them; with fields of their own, sd is left out."""
ALIKE = (0.97, 0.99, 0.997)
"""Worlds in which few utterances differ, by `CopulaWorld.alike`."""
POWERS = [
    replace(known, shift=sign * points / 100)
    for known, points in [
        (world(130, 0, seeds=1), 1.6),
        (world(130, 10, seeds=1), 2.0),
        (world(130, 0, seeds=3), 1.0),
        (world(130, 0, seeds=3), 1.9),
        (world(130, 0, seeds=5), 1.4),
        (world(130, 0, seeds=10), 1.1),
        (world(3000, 0, seeds=1), 0.4),
        (world(3000, 300, seeds=3), 1.4),
    ]
    for sign in (1, -1)
]
PLANNING = [
    world(130, 0, seeds=1),
    world(130, 10, seeds=1),
    *(world(*size, seeds=seeds) for size in (SETS[1], SETS[3]) for seeds in (3, 5, 10)),
]
COMPARED = {
    world(130, 0, seeds=2): 2.5,
    world(130, 0, seeds=3): 1.9,
    world(130, 0, seeds=5): 1.4,
    world(130, 0, seeds=3, training_sd=0.0): 1.3,
    world(3000, 300, seeds=3): 1.4,
}
"""The cases in which procedures are compared, and the difference in points, if there is one."""
TOOLS = [SIX(*size, seeds) for size in (SETS[1], SETS[3]) for seeds in (3, 5)]


# Tables


def null_table(study: Study) -> Table:
    rows = []
    for each in NULL:
        found = _twice(study.pairs, each)
        shares = [
            _both(found, name) for name in ("shown", "covered", "rate_before", "rate_covered")
        ]
        rows.append([*_world(each), *shares])
    header = ["utterances", "speakers", "seeds", "training sd %", "p <= 5 %"]
    header += ["difference covered %", "rate covered before %", "now %"]
    return Table("No true difference", header, rows)


def family_table(study: Study) -> Table:
    rows = []
    for special, worlds in FAMILIES.items():
        for each in worlds:
            found = _twice(study.families, each)
            shares = [_both(found, name) for name in ("before", "verdict", "any")]
            rows.append([special or "-", str(len(each.seeds)), *_world(each)[:3], *shares])
    header = ["special", "systems", "utterances", "speakers", "seeds"]
    header += ["Holm before %", "verdict now %", "any two variants %"]
    note = (
        "Training sd 10 %; where a system is unsteady, 30 % for it and 5 % for others. With one "
        "seed, the verdict is *better* or *worse, these models only*, which is true of the models."
    )
    return Table("Families without a true difference", header, rows, note)


def speakers_table(study: Study) -> Table:
    rows = []
    for utterances, speakers, seeds in SPEAKERS:
        each = world(utterances, speakers, seeds)
        found, shifted = (_twice(study.pairs, known) for known in (each, replace(each, shift=0.02)))
        shares = [_both(found, n) for n in ("before", "shown", "rate_before", "rate_covered")]
        powers = [_both(shifted, "before"), _both(shifted, "shown")]
        rows.append([*_world(each)[:3], *shares, *powers])
    header = [
        "utterances",
        "speakers",
        "seeds",
        "before %",
        "p <= 5 % now",
        "rate before %",
        "rate now %",
    ]
    header += ["2 points: before %", "now %"]
    note = "Under four speakers there is no verdict, whatever p is."
    return Table("Few speakers", header, rows, note)


def alike_table(study: Study) -> Table:
    rows = []
    for alike in ALIKE:
        found = study.pairs(CopulaWorld(130, 0, (1, 1), (0.0, 0.0), alike=alike))
        shares = [_percent(found[name]) for name in ("before", "shown")]
        rows.append([f"{100 * alike:g}", f"{found['differing']:.1f}", *shares])
    header = ["alike %", "utterances that differ, mean", "before %", "now %"]
    return Table("Few utterances that differ, of 130, one seed", header, rows)


def skew_table(study: Study) -> Table:
    rows = []
    for utterances, speakers in ((130, 10), (3000, 300)):
        for seeds in (3, 5, 10):
            for name, deviations in (
                ("all", (0.1,) * 6),
                ("baseline alone", (0.3, *(0.02,) * 5)),
            ):
                each = CopulaWorld(utterances, speakers, (seeds,) * 6, deviations, skew=True)
                found = study.families(each)
                sizes = [f"{utterances:,}", str(speakers), str(seeds)]
                rows.append([name, *sizes, *(_percent(found[n]) for n in ("before", "verdict"))])
    header = ["who", "utterances", "speakers", "seeds", "Holm before %", "verdict now %"]
    note = (
        "One training in five goes badly: its rate is two standard deviations higher, where sd is "
        "10 % for all six systems, or 30 % for the baseline and 2 % for the others."
    )
    return Table("Families in which training fails partly", header, rows, note)


def power_table(study: Study) -> Table:
    rows = []
    for each in POWERS:
        found = _twice(study.pairs, each)
        shares = [_both(found, name) for name in ("power", "right", "covered")]
        rows.append([*_world(each), f"{100 * each.shift:+.1f}", *shares])
    header = ["utterances", "speakers", "seeds", "training sd %", "difference, points"]
    return Table("A known difference", [*header, "power computed %", "shown %", "covered %"], rows)


def planning_table(study: Study) -> Table:
    rows = []
    for each in PLANNING:
        found = _twice(study.planning, each)
        rows.append([*_world(each), *(_both(found, n) for n in ("value", "given", "held", "wide"))])
    header = ["utterances", "speakers", "seeds", "training sd %"]
    header += ["median, % of the true one", "given %", "range holds the true one %"]
    header += ["range, end over beginning"]
    return Table("The detectable difference and its range", header, rows)


def tools_table(study: Study) -> Table:
    found = [[study.tools(each) for each in _two(known)] for known in TOOLS]
    rows = []
    for name in found[0][0]:
        row = [name]
        for both in found:
            row.append(
                "; ".join(_both([each[name] for each in both], n) for n in ("second", "any"))
            )
        rows.append(row)
    header = ["procedure", *(f"{_named(each)}" for each in TOOLS)]
    note = (
        "Percent of studies of six equal systems in which noise is called a difference: of the "
        "second system to the first; of any of five. asrbench corrects for the five, the others "
        "leave that to the reader."
    )
    return Table("Noise called a difference, by other tools", header, rows, note)


def alternatives_table(study: Study) -> Table:
    found = [study.alternatives(each) for each in COMPARED]
    rows = []
    for name in ALTERNATIVES:
        row = [name]
        for intervals in (each[name] for each in found):
            width = 100 * float(np.median([interval.width for interval in intervals]))
            row.append(f"{without_zero(intervals):.1f} ({width:.2f})")
        rows.append(row)
    header = ["procedure", *map(_named, COMPARED)]
    note = "Percent shown; in parentheses the median width of the interval in points. First world."
    return Table("No true difference, other procedures", header, rows, note)


def alternatives_power_table(study: Study) -> Table:
    known = [replace(each, shift=points / 100) for each, points in COMPARED.items()]
    found = [study.alternatives(each) for each in known]
    rows = [
        [name, *(_percent(without_zero(each[name])) for each in found)] for name in ALTERNATIVES
    ]
    header = ["procedure"]
    header += [f"{_named(each)}: {100 * each.shift:.1f} points" for each in known]
    note = (
        "Percent shown. A procedure that shows more than 5 in the table above is not better for it."
    )
    return Table("A known difference, other procedures", header, rows, note)


def hard_table(study: Study) -> Table:
    rows = []
    for name, each in HARD.items():
        found = [study.pairs(each)] if each.matched else _twice(study.pairs, each)
        rows.append([name, _both(found, "shown"), _both(found, "rate_covered")])
    return Table("No true difference, hard cases", ["case", "shown %", "rate covered %"], rows)


TABLES: tuple[Callable[[Study], Table], ...] = (
    null_table,
    family_table,
    speakers_table,
    alike_table,
    skew_table,
    hard_table,
    power_table,
    planning_table,
    tools_table,
    alternatives_table,
    alternatives_power_table,
)


def _two(each: World) -> tuple[World, CopulaWorld]:
    return each, CopulaWorld.twin(each)


def _twice(
    measure: Callable[[World | CopulaWorld], dict[str, float]], each: World
) -> list[dict[str, float]]:
    """Measures in both worlds."""
    return [measure(known) for known in _two(each)]


def _both(found: Sequence[dict[str, float]], name: str) -> str:
    return " / ".join(_percent(each[name]) for each in found)


def _world(each: World) -> list[str]:
    training_sd = f"{100 * each.training_sd[0]:.0f}" if each.seeds[0] > 1 else "-"
    return [f"{each.utterances:,}", str(each.speakers or "-"), str(each.seeds[0]), training_sd]


def _named(each: World) -> str:
    utterances, _, seeds, training_sd = _world(each)
    by = f" by {each.speakers} speakers" if each.speakers else ""
    return f"{utterances}{by}, {seeds} seeds, sd {training_sd} %"


def _percent(share: float) -> str:
    return f"{share:.1f}"


def main(
    trials: Annotated[int, typer.Option(min=1, help="Trials of each row.")] = 1000,
    replicates: Annotated[int, typer.Option(min=100, help="Replicates of each bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    page: Annotated[Path, typer.Option("--page", help="Page whose tables are rewritten.")] = PAGE,
    jobs: Annotated[int, typer.Option(min=1, help="Tables made at a time.")] = 1,
) -> None:
    """Simulate studies, and write the tables."""
    text = page.read_text(encoding="utf-8")
    if MARK not in text:
        raise UserError(f"{page}: found no line '{MARK.strip()}'; it says where the tables go")
    study = Study(trials, replicates, seed)
    with ProcessPoolExecutor(jobs) as pool:
        tables = [markdown(each) for each in pool.map(partial(_table, study), range(len(TABLES)))]
    command = "python benchmarks/calibration.py --trials {} --replicates {} --seed {}"
    parts = [text.partition(MARK)[0] + MARK.rstrip(), f"    {command.format(*study)}", *tables]
    write_text(page, "\n\n".join(parts) + "\n")


def _table(study: Study, number: int) -> Table:
    return TABLES[number](study)


if __name__ == "__main__":
    run(main)
