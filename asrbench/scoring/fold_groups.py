"""Brings together the run folders that make one scored run: one, or one for each fold."""

from collections.abc import Iterator, Sequence

from asrbench.base.errors import UserError
from asrbench.base.formatting import counted
from asrbench.experiment.run_folder import GREEDY
from asrbench.scoring.scored_folder import ScoredFolder

FOLDED = "test"
"""The split that the folds divide: only there is every utterance tested once."""


def grouped_by_run(
    folders: Sequence[ScoredFolder], split: str, notes: list[str]
) -> Iterator[tuple[ScoredFolder, ...]]:
    """Yields each folder without a fold alone, and those of all folds of a run together, in order.

    Folds belong together if their specs, apart from the fold, their seed, decoder and corpus are
    the same. Runs that are not scored on every fold are left out, with a line in `notes`. Raises
    `UserError` for a fold that is found twice.
    """
    groups: dict[tuple[str, ...], list[ScoredFolder]] = {}
    for folder in folders:
        groups.setdefault(_run_of(folder), []).append(folder)
    for group in groups.values():
        fold = group[0].run.cell.fold
        if fold is None:
            yield tuple(group)
        elif split != FOLDED:
            notes.append(f"left out: {name_of(group)}: folds are compared on {FOLDED} only")
        else:
            by_index = _by_index(group)
            missing = [i for i in range(1, fold.of + 1) if i not in by_index]
            if not missing:
                yield tuple(by_index[i] for i in sorted(by_index))
                continue
            which = ", ".join(map(str, missing))
            searched = "" if group[0].decode == GREEDY else f" with --decode {group[0].decode}"
            notes.append(
                f"left out: {name_of(group)}: {counted(len(missing), 'fold')} of {fold.of} not "
                f"scored on {split}{searched}: {which}"
            )


def name_of(folders: Sequence[ScoredFolder]) -> str:
    """Returns the path of one run folder, or the pattern of paths of the folders of several folds.

    A shell expands the pattern.
    """
    run = folders[0].run
    if run.cell.fold is None:
        return str(run)
    return str(run.folder.parent / f"seed{run.cell.seed}-fold*of{run.cell.fold.of}-*")


def _run_of(folder: ScoredFolder) -> tuple[str, ...]:
    """Returns what the folders of all folds of one run have in common, and no others."""
    cell = folder.run.cell
    if cell.fold is None:
        return (str(folder.run.folder), folder.decode)
    whole = cell.model_copy(update={"fold": None})
    return (whole.identity(folder.corpus), str(cell.fold.of), folder.decode)


def _by_index(group: Sequence[ScoredFolder]) -> dict[int, ScoredFolder]:
    by_index: dict[int, ScoredFolder] = {}
    for folder in group:
        cell = folder.run.cell
        assert cell.fold is not None
        other = by_index.setdefault(cell.fold.index, folder)
        if other is not folder:
            raise UserError(
                f"{other.run} and {folder.run}: found two runs of {cell.variant}, "
                f"{cell.seed_and_fold}; name one of them or delete the other"
            )
    return by_index
