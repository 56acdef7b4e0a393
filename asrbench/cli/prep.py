"""`asrbench prep`: one command for each recipe, generated from the options that it declares."""

import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any, cast, get_args, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from asrbench.base.process_map import available
from asrbench.cli.prep_report import print_corpus
from asrbench.cli.terminal import Terminal
from asrbench.stages.prep import RECIPES, load_recipe
from asrbench.stages.prep.recipe import AnyRecipe, Argument, Option, Preparation

SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_show_locals": False,
    "rich_markup_mode": None,
}

Out = Annotated[Path, typer.Option("--out", help="Corpus folder to make.")]
Strict = Annotated[bool, typer.Option("--strict", help="Make any rejected utterance an error.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing corpus.")]
Jobs = Annotated[
    int, typer.Option("--jobs", min=1, help="Files read at a time.", show_default="a core each")
]


class _RecipeCommands(Mapping[str, TyperCommand]):
    """Builds the command of a recipe when it is looked up, so that no other recipe is imported."""

    def __getitem__(self, name: str) -> TyperCommand:
        if name not in RECIPES:
            raise KeyError(name)
        return recipe_command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(RECIPES)

    def __len__(self) -> int:
        return len(RECIPES)


class _RecipeGroup(TyperGroup):
    """Lists the recipes without importing any of them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = cast(MutableMapping[str, Any], _RecipeCommands())

    def list_commands(self, ctx: Any) -> list[str]:
        return list(RECIPES)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(RECIPES.items()))


prep_app = typer.Typer(
    cls=_RecipeGroup, help="Prepare a corpus with one of the recipes.", **SETTINGS
)


def recipe_command(name: str) -> TyperCommand:
    """Returns the command of a recipe: its own options and those that every recipe has."""
    recipe = load_recipe(name)
    app = typer.Typer(**SETTINGS)
    app.command(name, help=f"{RECIPES[name]}\n\n{recipe.details}")(_function(name, recipe))
    command = typer.main.get_command(app)
    assert isinstance(command, TyperCommand)
    return command


def _function(name: str, recipe: AnyRecipe) -> Callable[..., None]:
    """Returns the function that the command calls, with the signature that typer reads."""

    def prepare(*, out: Path, strict: bool, force: bool, jobs: int = 1, **own: Any) -> None:
        with Terminal() as terminal:
            preparation = Preparation(
                name,
                out,
                strict=strict,
                force=force,
                jobs=jobs,
                progress=lambda done, total: terminal.progress(name, done, total),
            )
            recipe.prepare(recipe.options(**own), preparation)
        print_corpus(out)

    hints = get_type_hints(recipe.options, include_extras=True)
    own = [_parameter(field, hints[field.name]) for field in fields(recipe.options)]
    parameters = [
        *(each for each in own if each.default is inspect.Parameter.empty),
        _keyword("out", Out),
        *(each for each in own if each.default is not inspect.Parameter.empty),
        _keyword("strict", Strict, default=False),
        _keyword("force", Force, default=False),
        *([_keyword("jobs", Jobs, default=available())] if recipe.parallel else []),
    ]
    prepare.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    prepare.__annotations__ = {each.name: each.annotation for each in parameters}
    return prepare


def _parameter(field: Field[Any], hint: Any) -> inspect.Parameter:
    """Returns the typer parameter of one field of a recipe's options."""
    kind, declared = get_args(hint)
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    if isinstance(declared, Argument):
        return _keyword(field.name, Annotated[kind, typer.Argument(help=declared.help)], default)
    assert isinstance(declared, Option)
    flag = f"--{field.name.replace('_', '-')}"
    shown = True if declared.shown_default is None else declared.shown_default
    option = typer.Option(flag, help=declared.help, show_default=shown)
    return _keyword(field.name, Annotated[kind, option], default)


def _keyword(
    name: str, annotation: Any, default: Any = inspect.Parameter.empty
) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )
