"""docs/promises.md names a test for what README.md and the other pages promise."""

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
ROW = re.compile(r"^\| (.+) \| (`.+`) \|$", re.MULTILINE)
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")
SENTENCE = re.compile(r"(?<=\.)\s+(?=[A-Z])")


def in_one_line(text: str) -> str:
    return " ".join(text.split())


PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    if path.name != "promises.md"
}
ROWS = ROW.findall((ROOT / "docs" / "promises.md").read_text(encoding="utf-8"))
WORDS = [words for words, _ in ROWS]


@cache
def functions(file: str) -> set[str]:
    """The names of the functions of a test file."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_is_named_exists() -> None:
    assert len(ROWS) > 50
    for words, cell in ROWS:
        named = TEST.findall(cell)
        assert ", ".join(f"`{file}::{test}`" for file, test in named) == cell, words
        for file, test in named:
            assert test in functions(file), f"{file}::{test}"


def test_a_page_has_the_words_of_every_row() -> None:
    pages = [in_one_line(page) for page in PAGES.values()]
    assert [words for words in WORDS if not any(words in page for page in pages)] == []
    assert len(set(WORDS)) == len(WORDS)


def test_every_sentence_of_what_is_promised_has_a_row() -> None:
    _, *bullets = re.split(r"^- ", PAGES["reproducibility.md"], flags=re.MULTILINE)
    bullets[-1] = bullets[-1].split("\n\n")[0]
    sentences = [each for bullet in bullets for each in SENTENCE.split(in_one_line(bullet))]
    assert len(bullets) >= 6
    assert [s for s in sentences if not any(words in s for words in WORDS)] == []
