"""The recipes as they declare themselves, and the commands that are generated from them."""

import subprocess
import sys
from dataclasses import fields, is_dataclass
from typing import get_args, get_type_hints

import pytest
from doors import run

from asrbench.base.errors import UserError
from asrbench.cli.prep import recipe_command
from asrbench.stages.prep import RECIPES, load_recipe
from asrbench.stages.prep.recipe import Argument, Option, parse_shares

COMMON = ["--out", "--strict", "--force"]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_declares_its_options_once_with_help(name: str) -> None:
    recipe = load_recipe(name)
    assert is_dataclass(recipe.options)
    hints = get_type_hints(recipe.options, include_extras=True)
    for field in fields(recipe.options):
        _, declared = get_args(hints[field.name])
        assert isinstance(declared, Argument | Option), field.name
        assert declared.help
    assert recipe.details.endswith(".")
    assert RECIPES[name].endswith(".")


@pytest.mark.parametrize("name", RECIPES)
def test_a_command_has_the_options_of_its_recipe_and_the_common_ones(name: str) -> None:
    recipe, command = load_recipe(name), recipe_command(name)
    flags = {flag for parameter in command.params for flag in parameter.opts}
    for field in fields(recipe.options):
        assert {field.name, f"--{field.name.replace('_', '-')}"} & flags
    assert flags.issuperset(COMMON)
    assert ("--jobs" in flags) == recipe.parallel
    assert command.help
    assert command.help.startswith(RECIPES[name])


def test_the_list_of_recipes_has_their_summaries() -> None:
    code, out, _ = run("prep", "--help")
    assert code == 0
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    for name, summary in RECIPES.items():
        assert [name, summary] in lines


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(UserError, match=r"prep: found 'kaldy', allowed: .*did you mean 'kaldi'"):
        load_recipe("kaldy")
    code, _, err = run("prep", "kaldy")
    assert code == 2
    assert "No such command 'kaldy'. Did you mean 'kaldi'?" in err


def test_help_of_a_recipe_imports_no_slow_library() -> None:
    program = (
        "import sys\n"
        "from asrbench.cli.prep import recipe_command\n"
        "from asrbench.stages.prep import RECIPES\n"
        "for name in RECIPES:\n"
        "    recipe_command(name)\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'pyarrow', 'soundfile'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("text", ["", "0.8/0.2", "a/b/c", "0.8/0.1/0.1/0"])
def test_shares_that_are_no_three_numbers_are_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_shares("--split", text)
    assert str(caught.value) == (f"--split: found '{text}', allowed: 3 numbers, as 0.8/0.1/0.1")
    assert parse_shares("--split", "0.8/0.1/0.1") == (0.8, 0.1, 0.1)
