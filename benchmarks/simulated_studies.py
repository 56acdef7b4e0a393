"""Measures how often the statistics are right, in many studies of a simulated world."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from alternatives import ALTERNATIVES, quantiles, unguarded
from other_tools import OTHER_TOOLS, two_sided
from simulated import Trial

from asrbench.stats.blocks import Blocks
from asrbench.stats.bootstrap import Bootstrap, Interval, bootstrap
from asrbench.stats.exact import holm
from asrbench.stats.power import ALPHA, POWER, power, smallest_difference
from asrbench.stats.verdicts import undecidable


class AnyWorld(Protocol):
    """What both simulated worlds have."""

    @property
    def speakers(self) -> int: ...
    @property
    def seeds(self) -> tuple[int, ...]: ...
    @property
    def shift(self) -> float: ...
    @property
    def rates(self) -> list[float]: ...
    def draw(self, generator: np.random.Generator) -> Trial: ...


class Study(NamedTuple):
    """The size of the simulation. Every world gets the same stream of random numbers."""

    trials: int
    replicates: int
    seed: int

    def of(self, world: AnyWorld) -> Iterator[tuple[Trial, Blocks, Bootstrap]]:
        generator = np.random.default_rng(self.seed)
        for _ in range(self.trials):
            trial = world.draw(generator)
            blocks = Blocks.of(trial.symbols_U, trial.speakers_U)
            systems = range(len(trial.errors))
            drawn = bootstrap(blocks, trial.errors, self.replicates, self.seed, family=systems)
            yield trial, blocks, drawn

    def pairs(self, world: AnyWorld) -> dict[str, float]:
        """Returns in percent how often the second system is found to differ from the first.

        `differing` is no share: it is the mean number of utterances in which the two differ.
        """
        rows, differing = [], []
        for trial, blocks, boot in self.of(world):
            difference, first = boot.difference(1, 0), boot.rate(0)
            errors = [blocks.summed(system) for system in trial.errors]
            old_rate = quantiles(unguarded(boot, errors, {0: 1.0}))
            rows.append(
                {
                    "shown": difference.p <= ALPHA,
                    "before": two_sided(unguarded(boot, errors, {1: 1.0, 0: -1.0})) <= ALPHA,
                    "right": difference.p <= ALPHA and difference.delta * world.shift > 0,
                    "power": power(world.shift, difference.variance),
                    "covered": world.shift in difference.interval,
                    "rate_covered": first.interval is not None and world.rates[0] in first.interval,
                    "rate_before": world.rates[0] in old_rate,
                }
            )
            differing.append(difference.utterances_differing)
        return _shares(rows) | {"differing": float(np.mean(differing))}

    def alternatives(self, world: AnyWorld) -> dict[str, list[Interval]]:
        """Returns the interval of each procedure in each trial."""
        found: dict[str, list[Interval]] = {name: [] for name in ALTERNATIVES}
        for trial, blocks, boot in self.of(world):
            errors = [blocks.summed(system) for system in trial.errors]
            for name, interval in ALTERNATIVES.items():
                found[name].append(interval(boot, errors))
        return found

    def families(self, world: AnyWorld) -> dict[str, float]:
        """Returns in percent how often any difference is shown, to the first or of any two."""
        rows = []
        others = range(1, len(world.seeds))
        decided = undecidable(world.seeds, world.speakers or None) is None
        for trial, blocks, boot in self.of(world):
            errors = [blocks.summed(system) for system in trial.errors]
            p = [boot.difference(k, 0).p for k in others]
            before = [two_sided(unguarded(boot, errors, {k: 1.0, 0: -1.0})) for k in others]
            variants = boot.rates_K[1:]
            rows.append(
                {
                    "plain": min(p) <= ALPHA,
                    "holm": min(holm(p)) <= ALPHA,
                    "verdict": decided and min(holm(p)) <= ALPHA,
                    "before": min(holm(before)) <= ALPHA,
                    "any": decided and np.ptp(variants) > boot.critical(others).difference,
                }
            )
        return _shares(rows)

    def tools(self, world: AnyWorld) -> dict[str, dict[str, float]]:
        """Returns in percent how often each tool finds the second system, or any, different.

        A tool without a correction takes the smallest p-value as it is.
        """
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in (*OTHER_TOOLS, "asrbench")}
        for trial, _, boot in self.of(world):
            for name, procedure in OTHER_TOOLS.items():
                p = procedure(trial)
                rows[name].append({"second": p[0] <= ALPHA, "any": min(p) <= ALPHA})
            p = [boot.difference(k, 0).p for k in range(1, len(world.seeds))]
            adjusted = holm(p)
            rows["asrbench"].append({"second": adjusted[0] <= ALPHA, "any": min(adjusted) <= ALPHA})
        return {name: _shares(each) for name, each in rows.items()}

    def planning(self, world: AnyWorld) -> dict[str, float]:
        """Returns how often the detectable difference is given, and its range holds the true one.

        The true one is the shift at which `POWER` of the intervals of all trials exclude zero.
        """
        differences = [boot.difference(1, 0) for _, _, boot in self.of(world)]
        low_T, high_T = np.array([each.interval for each in differences]).T
        shifts = np.linspace(0, 5 * float(np.std(high_T - low_T) + np.mean(high_T - low_T)), 4000)
        shown = [np.mean((low_T + shift > 0) | (high_T + shift < 0)) for shift in shifts]
        true = shifts[int(np.argmax(np.array(shown) >= POWER))]
        found = [smallest_difference(each.variance) for each in differences]
        given = [each for each in found if each is not None]
        held = [each.low <= true <= each.high for each in given]
        return {
            "value": 100 * float(np.median([each.value for each in given] or [0.0])) / true,
            "given": 100 * len(given) / len(found),
            "held": 100 * float(np.mean(held)) if held else 0.0,
            "wide": float(np.median([each.high / each.low for each in given])) if given else 0.0,
        }


def without_zero(intervals: Sequence[Interval]) -> float:
    """Returns the share of intervals that show a difference, in percent."""
    return 100 * float(np.mean([0 not in interval for interval in intervals]))


def _shares(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: 100 * float(np.mean([row[name] for row in rows])) for name in rows[0]}
