"""The pages agree with each other and with the program.

Links lead somewhere, both READMEs say the same, and commands and specs in code blocks are read.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from json_schema import is_valid
from pages import LINK, NAMED, PAGES, ROOT, code_spans, command_lines, spec_blocks, text

from asrbench.cli.app import app
from asrbench.experiment.spec_schema import spec_schema
from asrbench.experiment.strict_yaml import read_mapping


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading).lower() for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(text(page)):
        if re.match(r"https?:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not fragment or fragment in anchors(target), f"{page.name}: {link}"


def test_the_first_page_leads_to_every_other() -> None:
    linked = {(ROOT / link).resolve() for link in LINK.findall(text(ROOT / "README.md"))}
    assert [page.name for page in (ROOT / "docs").glob("*.md") if page not in linked] == []


def test_the_first_page_is_short() -> None:
    assert len(text(ROOT / "README.md").splitlines()) <= 130


def outline(page: Path) -> list[tuple[str, list[str], list[str], list[str]]]:
    """What a translation keeps of each section: its level, commands, links, and first cells."""
    sections = re.split(r"^(?=#+ )", text(page), flags=re.MULTILINE)[1:]
    return [
        (
            section.split()[0],
            [re.split(r"  +#", line)[0] for line in re.findall(r"^    (.+)$", section, re.M)],
            sorted(set(LINK.findall(section)) - {"README.md", "README.ko.md"}),
            re.findall(r"^\| (.*?) \|", section, re.M)[1:],
        )
        for section in sections
    ]


def test_the_korean_page_has_the_sections_commands_and_links_of_the_english() -> None:
    assert outline(ROOT / "README.ko.md") == outline(ROOT / "README.md")


# Commands

GROUP = typer.main.get_command(app)
OTHERS = {"--nproc-per-node", "--nnodes", "--rdzv-endpoint", "--gpus", "--group"}
"""Options of torchrun and pip that pages name by themselves."""

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """Returns the command that the words call, and the words after its name."""
    command, rest = GROUP, words
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"asrbench {' '.join(words)}"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def options(command: Any) -> Iterator[str]:
    yield from ("-h", "--help")
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)


@by_page
def test_every_command_line_is_one_that_the_program_reads(page: Path) -> None:
    """Commands and options exist, values have their type and range, and nothing is missing."""
    for words in command_lines(page):
        command, rest = command_of(words)
        command.make_context(" ".join(words), list(rest))


def test_command_lines_are_found() -> None:
    (folds,) = (page for page in PAGES if page.name == "folds.md")
    found = [words[0] for words in command_lines(folds)]
    assert found == ["prep", "plan", "train", "eval", "compare"]
    assert all([*command_lines(ROOT / name)] for name in ("README.md", "README.ko.md"))


@by_page
def test_commands_and_options_in_the_text_exist(page: Path) -> None:
    known = {option for name in GROUP.commands for option in all_options(GROUP.commands[name])}
    known |= {*options(GROUP), *OTHERS}
    for span in code_spans(page):
        words = span.split()
        if words[0] == "asrbench" and len(words) > 1:
            command, rest = command_of(words[1:])
            known_here = set(all_options(command))
        elif words[0].startswith("--"):
            rest, known_here = words, known
        else:
            continue
        named = [word.partition("=")[0] for word in rest if re.match("--[a-z]", word)]
        assert [option for option in named if option not in known_here] == [], span


def all_options(command: Any) -> Iterator[str]:
    """Yields the options of a command; of a group those of all its commands."""
    yield from options(command)
    for each in getattr(command, "commands", {}).values():
        yield from options(each)


# Specs


@by_page
def test_every_spec_is_one_that_the_program_reads(page: Path, tmp_path: Path) -> None:
    schema = spec_schema()
    for block, keys in spec_blocks(page):
        if named := NAMED.search(block):
            path = ROOT / named[1]
            if path.is_file():
                assert read_mapping(path) == keys
                continue
        if "name" not in keys:
            assert is_valid(keys, schema), block
            continue
        shutil.copytree(ROOT / "experiments", tmp_path / "experiments", dirs_exist_ok=True)
        for file, source in re.findall(
            r"`(\w+\.py)`:\n\n```python\n(.*?)```", text(page), re.DOTALL
        ):
            (tmp_path / file).write_text(source, encoding="utf-8")
        (tmp_path / "spec.yaml").write_text(block, encoding="utf-8")
        # In a process of its own: a plug-in registers its kinds.
        command = [sys.executable, "-m", "asrbench", "train", "spec.yaml", "--print-config"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), block


def test_specs_are_found() -> None:
    found = {page.name: [keys for _, keys in spec_blocks(page)] for page in PAGES}
    assert [page for page, specs in found.items() if specs] == [
        "augmentation.md",
        "folds.md",
        "scoring.md",
        "starting.md",
        "tutorial.md",
        "your_own_attention.md",
    ]
