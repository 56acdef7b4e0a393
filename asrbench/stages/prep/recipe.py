"""The parts that every recipe is declared with: options, the function, and the common settings.

`asrbench prep RECIPE --help` imports this module and the recipe, so both leave numpy, pyarrow and
the other slow imports to the functions that need them. A test holds that.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from asrbench.base.errors import UserError

if TYPE_CHECKING:
    from asrbench.data.corpus_writer import CorpusWriter


@dataclass(frozen=True)
class Argument:
    """Annotates a field of an options class that the command line takes by position."""

    help: str


@dataclass(frozen=True)
class Option:
    """Annotates a field of an options class that the command line takes as `--field-name`."""

    help: str
    shown_default: str | None = None
    """The default in words, for a field whose default value does not say it."""


# Options that several recipes have.

TakeDev = Annotated[int, Option("Utterances to take from train, by speaker.")]
SplitSeed = Annotated[int, Option("Seed of the splits that are drawn.")]
CorpusName = Annotated[str | None, Option("Name of the corpus.")]


def report_nothing(done: int, total: int) -> None:
    """Ignores the progress of a preparation."""


@dataclass(frozen=True)
class Preparation:
    """One call of a recipe: where the corpus goes, and the options that all recipes have."""

    recipe: str
    """Name of the recipe, as `corpus.json` records it."""
    out: Path
    """The corpus folder to make."""
    strict: bool = False
    """Whether a rejected utterance is an error."""
    force: bool = False
    """Whether a corpus at `out` is replaced, once the new one is complete."""
    jobs: int = 1
    """Utterances read at the same time. The corpus is the same, byte for byte, for any number."""
    progress: Callable[[int, int], None] = report_nothing
    """Called with the work done and the total while the recipe works."""

    def new_corpus(
        self, *, name: str, source: str, text_profile: str = "verbatim"
    ) -> AbstractContextManager["CorpusWriter"]:
        """Returns a context that yields the corpus writer and renames the corpus when complete.

        Raises `UserError` as `CorpusWriter.create` does, leaving nothing behind.
        """
        from asrbench.data.corpus_writer import CorpusWriter

        return CorpusWriter.create(
            self.out,
            name=name,
            recipe=self.recipe,
            source=source,
            text_profile=text_profile,
            strict=self.strict,
            force=self.force,
        )


Options = TypeVar("Options")


@dataclass(frozen=True)
class Recipe(Generic[Options]):
    """A recipe as it declares itself."""

    details: str
    """Help that `asrbench prep RECIPE --help` prints after the line of `RECIPES`."""
    options: type[Options]
    """A frozen dataclass. Each field is annotated with an `Argument` or an `Option`."""
    prepare: Callable[[Options, Preparation], None]
    """Makes the corpus. Raises `UserError`, leaving nothing behind."""
    parallel: bool = True
    """Whether the recipe reads several files at a time, so that it takes `--jobs`."""


AnyRecipe = Recipe[Any]


def parse_numbers(option: str, text: str, count: int, example: str) -> list[float]:
    """Returns `count` numbers that are separated by slashes. Raises `UserError` for other text."""
    try:
        found = [float(part) for part in text.split("/")]
    except ValueError:
        found = []
    if len(found) != count:
        raise UserError(f"{option}: found '{text}', allowed: {count} numbers, as {example}")
    return found


def parse_shares(option: str, text: str) -> tuple[float, float, float]:
    """Returns the shares of train, dev and test from text such as `0.8/0.1/0.1`."""
    train, dev, test = parse_numbers(option, text, 3, "0.8/0.1/0.1")
    return train, dev, test
