"""Error rates of the statistics of `asrbench compare`, in simulated studies.

Writes its tables into docs/statistics.md, below the line that says so. `simulated.py` describes the
distribution that studies are drawn from.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from alternatives import ALTERNATIVES
from page import Table, markdown, run
from simulated import Trial, World

from asrbench.base.errors import UserError
from asrbench.base.files import write_text
from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import Bootstrap, Interval, bootstrap
from asrbench.stats.exact import holm
from asrbench.stats.power import ALPHA, power

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
    *(world(*size, seeds=2) for size in SETS[:2]),
    *(world(*size, seeds=3) for size in SETS),
    *(world(*SETS[i], seeds=5) for i in (0, 1, 3)),
    world(130, 0, seeds=10),
    *(world(130, 0, seeds=seeds, training_sd=0.0) for seeds in (2, 3, 5)),
]
HARD = {
    "2 seeds against 5": World(130, 0, (2, 5), (0.1, 0.1)),
    "3 seeds against 10": World(130, 0, (3, 10), (0.1, 0.1)),
    "seeds of both correlated by 0.5": World(130, 0, (3, 3), (0.1, 0.1), matched=0.5),
    "5 speakers": World(130, 5, (3, 3), (0.1, 0.1)),
    "training sd 5 and 15 %": World(130, 0, (3, 3), (0.05, 0.15)),
    "training sd 1 and 30 %": World(130, 0, (3, 3), (0.01, 0.3)),
    "training sd 1 and 30 %, 10 seeds": World(130, 0, (10, 10), (0.01, 0.3)),
}
FAMILIES = [
    *(world(130, 0, seeds=seeds, systems=6) for seeds in (1, 2, 3, 5)),
    world(130, 10, seeds=3, systems=6),
    world(130, 0, seeds=3, systems=21),
]
POWERS = [
    replace(known, shift=points / 100)
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
]


COMPARED = {
    world(130, 0, seeds=2): 2.5,
    world(130, 0, seeds=3): 1.9,
    world(130, 0, seeds=5): 1.4,
    world(130, 0, seeds=3, training_sd=0.0): 1.3,
    world(3000, 300, seeds=3): 1.4,
}
"""The cases in which procedures are compared, and the difference in points, if there is one."""


class Study(NamedTuple):
    """The size of the simulation. Every world gets the same stream of random numbers."""

    trials: int
    replicates: int
    seed: int

    def of(self, world: World) -> Iterator[tuple[Trial, Blocks, Bootstrap]]:
        generator = np.random.default_rng(self.seed)
        for _ in range(self.trials):
            trial = world.draw(generator)
            blocks = Blocks.of(trial.symbols_U, trial.speakers_U)
            yield trial, blocks, bootstrap(blocks, trial.errors, self.replicates, self.seed)

    def pairs(self, world: World) -> dict[str, float]:
        """Returns in percent how often the second system is found to differ from the first."""
        rows = []
        for _, _, boot in self.of(world):
            difference, first = boot.difference(1, 0), boot.rate(0)
            rows.append(
                {
                    "shown": difference.p <= ALPHA,
                    "right": difference.p <= ALPHA and difference.delta * world.shift > 0,
                    "power": power(world.shift, difference.variance),
                    "covered": world.shift in difference.interval,
                    "rate_covered": first.interval is not None and world.rates[0] in first.interval,
                }
            )
        return _shares(rows)

    def alternatives(self, world: World) -> dict[str, list[Interval]]:
        """Returns the interval of each procedure in each trial."""
        found: dict[str, list[Interval]] = {name: [] for name in ALTERNATIVES}
        for trial, blocks, boot in self.of(world):
            errors = [blocks.summed(system) for system in trial.errors]
            for name, interval in ALTERNATIVES.items():
                found[name].append(interval(boot, errors))
        return found

    def families(self, world: World) -> dict[str, float]:
        """Returns in percent how often any difference is shown, to the first or of any two."""
        rows = []
        for _, _, boot in self.of(world):
            p = [boot.difference(k, 0).p for k in range(1, len(world.seeds))]
            differ = np.ptp(boot.rates_K) > boot.critical().difference
            rows.append({"plain": min(p) <= ALPHA, "holm": min(holm(p)) <= ALPHA, "any": differ})
        return _shares(rows)


def without_zero(intervals: Sequence[Interval]) -> float:
    """Returns the share of intervals that show a difference, in percent."""
    return 100 * float(np.mean([0 not in interval for interval in intervals]))


def _shares(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: 100 * float(np.mean([row[name] for row in rows])) for name in rows[0]}


# Tables


def null_table(study: Study) -> Table:
    rows = []
    for each in NULL:
        found = study.pairs(each)
        shares = [found["shown"], found["covered"], found["rate_covered"]]
        rows.append([*_world(each), *map(_percent, shares)])
    header = ["utterances", "speakers", "seeds", "training sd %", "shown %", "difference covered %"]
    return Table("No true difference", [*header, "rate covered %"], rows)


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
    note = "Percent shown; in parentheses the median width of the interval in points."
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
    rows = [
        [name, _percent(found["shown"]), _percent(found["rate_covered"])]
        for name, each in HARD.items()
        for found in [study.pairs(each)]
    ]
    return Table("No true difference, hard cases", ["case", "shown %", "rate covered %"], rows)


def family_table(study: Study) -> Table:
    rows = []
    for each in FAMILIES:
        found = study.families(each)
        shares = [found["plain"], found["holm"], found["any"]]
        rows.append([str(len(each.seeds)), *_world(each)[:3], *map(_percent, shares)])
    header = ["systems", "utterances", "speakers", "seeds"]
    header += ["one shown, plain %", "one shown, Holm %", "any pair different %"]
    return Table("Families without a true difference", header, rows)


def power_table(study: Study) -> Table:
    rows = []
    for each in POWERS:
        found = study.pairs(each)
        shares = [found["power"], found["right"], found["covered"]]
        rows.append([*_world(each), f"{100 * each.shift:.1f}", *map(_percent, shares)])
    header = ["utterances", "speakers", "seeds", "training sd %", "difference, points"]
    return Table("A known difference", [*header, "power computed %", "shown %", "covered %"], rows)


TABLES = (
    null_table,
    power_table,
    alternatives_table,
    alternatives_power_table,
    hard_table,
    family_table,
)


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
    trials: Annotated[int, typer.Option(min=1, help="Trials of each row.")] = 2000,
    replicates: Annotated[int, typer.Option(min=100, help="Replicates of each bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    page: Annotated[Path, typer.Option("--page", help="Page whose tables are rewritten.")] = PAGE,
) -> None:
    """Simulate studies, and write the tables."""
    text = page.read_text(encoding="utf-8")
    if MARK not in text:
        raise UserError(f"{page}: found no line '{MARK.strip()}'; it says where the tables go")
    study = Study(trials, replicates, seed)
    tables = [markdown(table(study)) for table in TABLES]
    command = "python benchmarks/calibration.py --trials {} --replicates {} --seed {}"
    parts = [text.partition(MARK)[0] + MARK.rstrip(), f"    {command.format(*study)}", *tables]
    write_text(page, "\n\n".join(parts) + "\n")


if __name__ == "__main__":
    run(main)
