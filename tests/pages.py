"""The pages of the repository, and the code in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "README.ko.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?:^(?: {4}.*)?\n)+", re.MULTILINE)
"""Indented lines, and the empty ones between them; of a list's items too, which are no code."""
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
NAMED = re.compile(r"^# (\S+\.yaml)$", re.MULTILINE)
"""The first line of a spec that is a file of the repository."""


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[str]:
    """Yields the code blocks of a page, fenced or indented."""
    whole = text(page)
    yield from (code for _, code in FENCE.findall(whole))
    for found in INDENTED.findall(FENCE.sub("", whole)):
        if found.strip():
            yield re.sub("^ {4}", "", found, flags=re.MULTILINE)


def command_lines(page: Path) -> Iterator[list[str]]:
    """Yields the words after `asrbench` of each command line in the code blocks of a page.

    Continued lines are joined. Comments, prompts and environment variables are no part.
    """
    for block in blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"(?:\$ )?(?:\w+=\S+ )*asrbench (.*)", line.strip())
            if found:
                yield shlex.split(found[1], comments=True)


def spec_blocks(page: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the code blocks of a page that are YAML mappings, whole specs or parts of one."""
    for block in blocks(page):
        try:
            found = yaml.safe_load(block)
        except yaml.YAMLError:
            continue
        if isinstance(found, dict):
            yield block, found


def code_spans(page: Path) -> Iterator[str]:
    """Yields the code within running text and tables."""
    prose = INDENTED.sub("\n", FENCE.sub("", text(page)))
    yield from (" ".join(span.replace("\\|", "|").split()) for span in SPAN.findall(prose))
