"""Whether a command that refused its input left or changed a file."""

from collections.abc import Callable
from pathlib import Path

from attack.bounded import Outcome

State = dict[str, tuple[int, ...]]


def state(folder: Path) -> State:
    """Returns kind, size and time of all that is in a folder, by its name; of folders the kind."""
    found = {}
    for path in folder.rglob("*"):
        about = path.lstat()
        whole = (about.st_mode, about.st_size, about.st_mtime_ns)
        found[str(path.relative_to(folder))] = (about.st_mode,) if path.is_dir() else whole
    return found


def difference(before: State, folder: Path) -> str | None:
    """Returns the first thing in the folder that is not as it was; None if there is none."""
    after = state(folder)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            what = "new" if name not in before else "gone" if name not in after else "changed"
            return f"{name} is {what}"
    return None


def nothing_left(folder: Path) -> Callable[[Outcome], str | None]:
    """Returns a check: a command that refuses leaves the folder as it is when this is called."""
    before = state(folder)

    def check(outcome: Outcome) -> str | None:
        if outcome.refusal is None or (found := difference(before, folder)) is None:
            return None
        return f"refused ({outcome.refusal[:100]}), but {found}"

    return check
