"""The title, the legend and the commands of a study."""

from collections.abc import Iterator

from asrbench.base.formatting import counted, seed_list
from asrbench.experiment.run_folder import corpus_elsewhere
from asrbench.scoring.scored_folder import QUIET_LOAD
from asrbench.stages.compare.selection import Selection
from asrbench.stats.record import Comparison
from asrbench.text.profiles import RATES


def title(selection: Selection, comparison: Comparison) -> str:
    """Returns split, corpus, size, profile and seeds in one line."""
    split = f"{selection.folds} folds" if selection.folds else selection.split
    speakers = f" of {counted(comparison.speakers, 'speaker')}" if comparison.speakers else ""
    return (
        f"{split} of {selection.corpus} ({selection.fingerprint[:8]}), "
        f"{comparison.utterances:,} utterances{speakers}, N = {comparison.n:,} "
        f"{comparison.unit}s, profile {selection.profile}, {seed_list(selection.seeds)}"
    )


def legend(selection: Selection, comparison: Comparison) -> Iterator[str]:
    """Yields explanations of the columns of the tables."""
    rate, baseline = RATES[comparison.unit], comparison.baseline
    tested = "corpus" if selection.folds else "split"
    first = (
        f"{rate}: edits over reference {comparison.unit}s of the whole {tested}, mean over seeds; "
        f"{selection.profile.words}."
    )
    if not comparison.replicates:
        yield first
    else:
        drawn = "speakers" if (comparison.speakers or 0) > 1 else "utterances"
        yield (
            f"{first} 95 %: confidence interval over {drawn} and, with two seeds or more, over "
            f"training seeds; {comparison.replicates:,} bootstrap replicates."
        )
        yield (
            f"diff: difference in points of {rate}, variant minus {baseline}; below zero, the "
            f"variant makes fewer errors. p Holm: p-value corrected for all variants compared on "
            f"this {tested}{_aside(comparison)}."
        )
    if selection.across_searches:
        yield (
            "Rows are systems: each is a model with its search, and a difference is due to both. "
            "RTF is the time that features, model and search take for a second of audio."
        )
    trained = (run.run.cell.train for system in selection.systems for run in system.runs)
    weights, *others = dict.fromkeys(each.tested_weights for each in trained)
    if not others:
        yield f"Each run is tested with {weights}."
    yield (
        f"step: time of an optimizer step, relative to {baseline}, in the fastest epoch during "
        f"which other processes used at most {100 * QUIET_LOAD:.0f} % of the CPU time; - where no "
        f"epoch is known to be such. docs/statistics.md explains each figure."
    )


def _aside(comparison: Comparison) -> str:
    """Returns the controls in words; empty without one."""
    names = [system.label for system in comparison.systems if system.is_control]
    if not names:
        return ""
    return f", without {' and '.join(names)} ({'a control' if len(names) == 1 else 'controls'})"


def commands(selection: Selection) -> Iterator[str]:
    """Yields the commands that make the study again from its run folders."""
    runs = [run for system in selection.systems for run in system.runs]
    folders = [run.folders[0] for run in runs]
    options = dict.fromkeys("" if f.decode == f.dev_search else f.eval_options for f in folders)
    for folder in dict.fromkeys(run.run.folder.parent.parent for run in runs):
        for option in options:
            elsewhere = " --corpus DIR" if corpus_elsewhere(selection.split) else ""
            split = selection.split.partition("@")[0]
            yield f"asrbench eval {folder} --split {split}{elsewhere}{option}"
        yield f"asrbench compare {folder} --split {selection.split}"
