"""Measures how much the dev CER of the best epoch flatters a run.

The best of many epochs is partly the luckiest. What its dev CER would be without the luck is
estimated by the mean over the epochs around it, two on either side: their weights are nearly the
same, and they were not selected. Where the CER still falls or rises evenly, the later and the
earlier epochs balance each other. The difference is how much the lowest dev CER flatters. The
estimate leaves out what all epochs share: the luck of the dev utterances themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated

import typer
from page import Table, markdown, run

from asrbench.base.errors import UserError
from asrbench.data.batch_sampler import length_plan
from asrbench.experiment.run_folder import AVERAGE, BEST, Run
from asrbench.recogniser.loader import load
from asrbench.recogniser.loading import load_recogniser, open_corpus
from asrbench.scoring.edit_counts import character_errors

AROUND = 2
"""Epochs on either side of the best one, over which its dev CER is smoothed."""
LATE = (5, 10)
"""Numbers of last epochs whose mean and standard deviation are shown."""


@dataclass(frozen=True)
class Choice:
    """What the dev CERs of one run say about its epochs. All rates are in percent."""

    epoch: int
    """The number, from 1, of the epoch with the lowest dev CER."""
    best: float
    """The dev CER of that epoch."""
    around: float
    """The mean dev CER of the epochs around it, itself left out."""
    last: float
    """The dev CER of the last epoch."""
    late: tuple[tuple[float, float], ...]
    """Mean and standard deviation of the dev CER over the last epochs, for each of `LATE`."""

    @property
    def flatters(self) -> float:
        """Points by which the lowest dev CER is below that of the epochs around it."""
        return self.around - self.best


def choice(dev_cers: Sequence[float]) -> Choice:
    """Returns what the dev CERs of all epochs of a run, as fractions, say.

    Raises `UserError` for fewer epochs than the most of `LATE`.
    """
    if len(dev_cers) < max(LATE):
        raise UserError(f"found {len(dev_cers)} epochs, allowed: {max(LATE)} or more")
    percent = [100 * cer for cer in dev_cers]
    best = percent.index(min(percent))
    around = [*percent[max(best - AROUND, 0) : best], *percent[best + 1 : best + 1 + AROUND]]
    late = tuple((fmean(percent[-count:]), stdev(percent[-count:])) for count in LATE)
    return Choice(best + 1, percent[best], fmean(around), percent[-1], late)


def history_table(runs: Sequence[Run]) -> Table:
    """Returns the dev CERs of each run, and their means over the runs."""
    choices = [choice([float(row["dev_cer"]) for row in each.history()]) for each in runs]
    rows = [
        [f"{each.cell.variant} {each.cell.seed}", *_cells(found)]
        for each, found in zip(runs, choices, strict=True)
    ]
    columns = list(zip(*(_figures(found) for found in choices), strict=True))
    rows.append(["mean", "", *(f"{fmean(column):.2f}" for column in columns)])
    late = [f"last {count}" for count in LATE]
    header = ["run", "best epoch", "best", "around it", "flatters", "last", *late]
    note = (
        f"Dev CER in percent. `around it` is the mean over {AROUND} epochs on either side of the "
        f"best, `flatters` the difference in points. The last columns are means over the last "
        f"epochs; {_spread(choices)}."
    )
    return Table("Dev CER by epoch", header, rows, note)


def _figures(found: Choice) -> list[float]:
    late = [mean for mean, _ in found.late]
    return [found.best, found.around, found.flatters, found.last, *late]


def _cells(found: Choice) -> list[str]:
    return [str(found.epoch), *(f"{figure:.2f}" for figure in _figures(found))]


def _spread(choices: Sequence[Choice]) -> str:
    spreads = [fmean(found.late[i][1] for found in choices) for i in range(len(LATE))]
    words = [f"{sd:.2f} over {count}" for count, sd in zip(LATE, spreads, strict=True)]
    return f"their standard deviation between epochs is {' and '.join(words)}, on average"


def rule_table(trained: Run, splits: Sequence[str]) -> Table:
    """Returns the CER of one training under each rule, on each of `splits` of its corpus.

    Raises `UserError` for a run without averaged weights.
    """
    rows = []
    for which in (BEST, "last", AVERAGE):
        recogniser = load_recogniser(trained, "cpu", which)
        corpus, row = open_corpus(trained, recogniser), [which, str(recogniser.epoch)]
        for name in splits:
            split = corpus.split(name)
            # The batches of `eval` and of the dev pass, because rounding in bf16 depends on them.
            plan = length_plan(split.samples, trained.cell.train.batch_seconds)
            batches = load(split, recogniser.tokenizer, plan)
            done = list(recogniser.transcribe(batches, recogniser.selection))
            references = [text for batch in done for text in batch.references]
            hypotheses = [text for batch in done for text in batch.hypotheses]
            edits = character_errors(references, hypotheses, trained.cell.score.profile)
            row.append(f"{100 * edits.rate:.2f}")
        rows.append(row)
    epochs = trained.cell.train.averaged_epochs
    note = f"CER in percent. `{AVERAGE}` is the mean of the weights after the last {epochs} epochs."
    return Table("One training under each rule", ["rule", "epoch", *splits], rows, note)


def main(
    results: Annotated[list[Path], typer.Argument(help="Run folders, or folders of them.")],
    trained: Annotated[
        Path | None,
        typer.Option(help="A run with `train.weights: {kind: average}`, to decode dev and test."),
    ] = None,
) -> None:
    """Print, as Markdown, what choosing the best epoch by its dev CER does."""
    print(markdown(history_table(Run.find(results))))
    if trained is not None:
        (found,) = Run.find([trained])
        print(f"\n{markdown(rule_table(found, ['dev', 'test']))}")


if __name__ == "__main__":
    run(main)
