"""A search with the settings and the language model that a command asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from asrbench.base.errors import UserError, pick
from asrbench.data.folds import DEV
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import DecodeSpec
from asrbench.experiment.spec_file import decode_with_sets
from asrbench.models.heads.head import Decoding, Head
from asrbench.recogniser.recogniser import Recogniser
from asrbench.text.ngram_lm import NgramLm, SymbolLm

WITH_LM = "_lm"
"""What the label of a search ends with if it had a language model."""


@dataclass(frozen=True)
class Decoder:
    """One way to decode a run."""

    search: str
    """The name of the search."""
    decoding: Decoding
    reads: tuple[str, ...]
    """The keys of `decode` that the search reads."""
    grid: dict[str, list[float]] | None = None
    """The values from which the dev set has chosen, by key of `decode`; None if they were given."""

    @classmethod
    def of(
        cls, run: Run, recogniser: Recogniser, decode: str | None = None, sets: Sequence[str] = ()
    ) -> "Decoder":
        """Returns the decoder that the spec of `run` names, as `sets` and `decode` change it.

        `sets` are `decode.key=value`; `decode` is the name of the search. Without any, it is the
        search that decodes the development set in training. Raises `UserError` for a search that
        the model does not have, for a language model that no search was asked to read, and for one
        that does not belong to the run.
        """
        own = run.cell.decode
        settings = decode_with_sets(own, sets)
        where = f"{run}: --decode" if decode else f"{run}: decode.search"
        search = pick(
            where, decode or _search(settings, recogniser.model.head), recogniser.searches
        )
        reads = recogniser.model.head.reads.get(search, ())
        if decode and settings.lm == own.lm and "lm" not in reads:
            settings = settings.model_copy(update={"lm": None})
        check_lm_is_read(str(run), settings, search, recogniser.model.head)
        lm = None if settings.lm is None else _lm_for(Path(settings.lm), recogniser)
        return cls(search, Decoding(settings, lm), reads)

    @property
    def label(self) -> str:
        """The name under which results are stored: that of the search, or with `_lm`."""
        return self.search + (WITH_LM if self.decoding.lm is not None else "")

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that runs are compared by: all that the search reads.

        The language model stands there by its digest, and the values that each run has chosen on
        its dev set by the rule that chose them.
        """
        plain = self.decoding.settings.model_dump(include=set(self.reads))
        if self.decoding.lm is None:
            return {key: value for key, value in plain.items() if key not in ("lm", "lm_weight")}
        plain["lm"] = self.decoding.lm.lm.digest
        return plain if self.grid is None else {**plain, **self.grid, "tuned_on": DEV}

    @property
    def tuned(self) -> dict[str, float] | None:
        """The values that the dev set has chosen; None if they were given."""
        if self.grid is None:
            return None
        return self.decoding.settings.model_dump(include=set(self.grid))

    def with_settings(self, **settings: float) -> "Decoder":
        """Returns the same search with other values of some keys of `decode`."""
        changed = self.decoding.settings.model_copy(update=settings)
        return replace(self, decoding=self.decoding._replace(settings=changed))


def check_lm_is_read(where: str, settings: DecodeSpec, search: str, head: Head) -> None:
    """Raises `UserError` if `settings` name a language model that `search` does not read."""
    if settings.lm is None or "lm" in head.reads.get(search, ()):
        return
    raise UserError(
        f"{where}: decode.lm: found '{settings.lm}', but the search '{search}' reads no language "
        f"model; allowed: {', '.join(searches_with_lm(head)) or 'none of its searches does'}"
    )


def searches_with_lm(head: Head) -> list[str]:
    """Returns the names of the searches that read a language model."""
    return [name for name in head.searches if "lm" in head.reads.get(name, ())]


def check_decode(settings: DecodeSpec, head: Head) -> None:
    """Raises `UserError` for settings with which `asrbench eval` would refuse a model of `head`."""
    search = pick("decode.search", _search(settings, head), head.searches)
    check_lm_is_read("spec", settings, search, head)


def _search(settings: DecodeSpec, head: Head) -> str:
    return settings.search or head.selection


def _lm_for(path: Path, recogniser: Recogniser) -> SymbolLm:
    """Returns the language model in a file, for the symbols of the recogniser.

    Raises `UserError` if it is of other symbols, or was trained on texts of the same corpus that
    the recogniser is tested on.
    """
    lm = _read(path)
    fold = recogniser.cell.fold
    own = str(fold) if fold else None
    if lm.source and lm.source.corpus == recogniser.fingerprint and lm.source.fold != own:
        raise UserError(
            f"{path}: was trained on the training texts of {lm.source.fold or 'the whole corpus'}, "
            f"among which are test texts of {own or 'the whole corpus'}; `asrbench lm --run RUN` "
            f"trains one without them"
        )
    return SymbolLm(lm, recogniser.tokenizer)


def _read(path: Path) -> NgramLm:
    try:
        about = path.stat()
    except OSError:
        return NgramLm.read(path)  # says why
    return _read_once(path, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=1)
def _read_once(path: Path, changed_ns: int, size: int) -> NgramLm:
    """Reads a language model once for all runs of a command."""
    return NgramLm.read(path)
