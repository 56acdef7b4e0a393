"""Plug-ins: Python files that register kinds, and the trust that running them needs.

The content of a plug-in is part of the identity of every run whose model uses one of its kinds.

`asrbench train SPEC` runs the plug-ins that the user's spec names. A run folder holds copies of
them. The copies run if the run was trained in that folder by this user, or with `--trust-plugins`,
because a run folder from elsewhere may hold anybody's code.
"""

import json
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from asrbench.base.errors import UserError
from asrbench.base.files import atomic, digest, make_parents
from asrbench.experiment.kinds import ASRBENCH, OWN, origins_of, registered_by
from asrbench.experiment.registry import MODELS
from asrbench.experiment.spec import Cell, PluginFile

_loaded: dict[str, str] = {}
"""The digest of each plug-in loaded in this process, and the path it was loaded from."""


def read(path: Path) -> PluginFile:
    """Returns the plug-in in the file `path`. Raises `UserError` where that is no Python file."""
    if not path.is_file():
        raise UserError(f"{path}: found no such plug-in; give a Python file beside the spec")
    if path.suffix != ".py":
        raise UserError(f"{path}: found a plug-in of that name, allowed: names that end in .py")
    return PluginFile(path=str(path), digest=digest(path))


def load(plugin: PluginFile) -> None:
    """Runs the file of `plugin`, once in a process, so that its kinds are registered.

    Raises `UserError`, with the file and the line, for a plug-in that is broken or has changed.
    """
    path = Path(plugin.path)
    if read(path).digest != plugin.digest:
        raise UserError(
            f"{path}: found different content (digest {digest(path)}) than in the spec (digest "
            f"{plugin.digest}); restore the file, or train a new run with it"
        )
    if plugin.digest in _loaded:
        return
    _loaded[plugin.digest] = plugin.path
    name = f"asrbench_plugin_{plugin.digest}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        with registered_by(ASRBENCH):
            __import__(OWN)
        with registered_by(plugin.path):
            spec.loader.exec_module(module)
    except UserError:
        _forget(plugin, name)
        raise
    except (Exception, SystemExit) as error:
        _forget(plugin, name)
        message = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{path}{_line(path, error)}: {message}") from None


def used_by(cell: Cell) -> tuple[PluginFile, ...]:
    """Returns the plug-ins of `cell` that registered its model or a kind in it.

    Other plug-ins are not part of the run, so a baseline keeps its identity in a study with
    plug-ins.
    """
    entry = MODELS.get(cell.model.name)
    origins = {*origins_of(cell.model), *([entry.origin] if entry else [])}
    return tuple(plugin for plugin in cell.plugins if _loaded[plugin.digest] in origins)


def _forget(plugin: PluginFile, module: str) -> None:
    del _loaded[plugin.digest], sys.modules[module]


def _line(path: Path, error: BaseException) -> str:
    """Returns `, line N` for the last line of the plug-in in the traceback of `error`."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.resolve()]
    lines += [frame.lineno for frame in frames if Path(frame.filename) == path]
    return f", line {lines[-1]}" if lines else ""


def unpickled(plain: dict[str, Any]) -> Cell:
    """Returns the cell that `plain` describes, after running its plug-ins."""
    for plugin in plain["plugins"]:
        load(PluginFile(**plugin))
    return Cell.model_validate_json(json.dumps(plain))


# In run folders


def copy_into(folder: Path, plugins: Sequence[PluginFile]) -> None:
    """Copies each plug-in into `folder`, and records that the copies are trusted there."""
    for plugin in plugins:
        copy = folder / Path(plugin.path).name
        with atomic(copy) as temporary:
            temporary.write_bytes(Path(plugin.path).read_bytes())
    if plugins:
        _remember(folder, plugins)


def load_copies(folder: Path, plugins: Sequence[PluginFile], *, trust: bool) -> None:
    """Runs the copies of `plugins` in `folder`, which belongs to a run folder.

    Raises `UserError` if this user did not train the run here and `trust` is false, and for copies
    that differ from the plug-ins of the training.
    """
    if not plugins:
        return
    if not trust and not _remembered(folder, plugins):
        names = ", ".join(Path(plugin.path).name for plugin in plugins)
        raise UserError(
            f"{folder}: found plug-ins ({names}) of a run that was not trained here; read them, "
            f"then allow them to run with --trust-plugins"
        )
    for plugin in plugins:
        load(plugin.model_copy(update={"path": str(folder / Path(plugin.path).name)}))


def check_names(plugins: Iterable[PluginFile]) -> None:
    """Raises `UserError` if two plug-ins have the same file name, because one folder holds both."""
    seen: dict[str, str] = {}
    for plugin in plugins:
        name = Path(plugin.path).name
        if name in seen:
            raise UserError(
                f"plugins: found {seen[name]} and {plugin.path}, allowed: each file name once"
            )
        seen[name] = plugin.path


def trust_path() -> Path:
    """Returns the file that lists the run folders and plug-ins that this user has trained with."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "asrbench" / "trusted_plugins.jsonl"


def _remember(folder: Path, plugins: Sequence[PluginFile]) -> None:
    row = _trust_row(folder, plugins)
    path = trust_path()
    try:
        make_parents(path)
        with path.open("a", encoding="utf-8") as file:
            file.write(row + "\n")
    except OSError:
        # Training can go ahead, but using the run later needs --trust-plugins.
        return


def _remembered(folder: Path, plugins: Sequence[PluginFile]) -> bool:
    try:
        return _trust_row(folder, plugins) in trust_path().read_text(encoding="utf-8").splitlines()
    except OSError:
        return False


def _trust_row(folder: Path, plugins: Sequence[PluginFile]) -> str:
    digests = sorted(plugin.digest for plugin in plugins)
    return json.dumps({"folder": str(folder.resolve()), "digests": digests})
