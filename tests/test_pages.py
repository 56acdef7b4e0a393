"""The pages agree with each other: links lead somewhere, and both READMEs say the same."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "README.ko.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


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
