"""A figure as SVG within the page: its colours follow the page's, its ids are its own."""

import re
from dataclasses import dataclass

from markupsafe import Markup

from asrbench.report.plots.base import COLOURS
from asrbench.report.plots.study import Picture, rendered

_VARIABLES = {colour.lower(): f"var(--c{place})" for place, colour in enumerate(COLOURS)}
_COLOUR = re.compile("#[0-9a-f]{6}", re.IGNORECASE)


@dataclass(frozen=True)
class Vector:
    name: str
    title: str
    says: str
    svg: Markup

    @classmethod
    def of(cls, picture: Picture) -> "Vector":
        svg = rendered(picture, ".svg").decode()
        return cls(picture.name, picture.title, picture.says, Markup(inlined(svg, picture.name)))


def inlined(svg: str, name: str) -> str:
    """`svg` as an element of a page. Texts in it are outlines, so that nothing of them is markup;
    comments, which repeat them, go."""
    svg = svg[svg.index("<svg") :]
    for unwanted in (r"<!--.*?-->", r"<metadata>.*?</metadata>", r"<style[^>]*>.*?</style>"):
        svg = re.sub(unwanted, "", svg, flags=re.DOTALL)
    # Ids of several figures meet in one page.
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    # The height follows from the width that the page gives it.
    svg = re.sub(
        r'<svg [^>]*?(viewBox="[^"]+")[^>]*>', r'<svg \1 aria-hidden="true">', svg, count=1
    )
    svg = _COLOUR.sub(lambda match: _followed(match[0].lower()), svg)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()


def _followed(colour: str) -> str:
    """The property of `page.css` that stands for `colour`; greys go by what they are drawn for."""
    if colour in _VARIABLES:
        return _VARIABLES[colour]
    if not colour[1:3] == colour[3:5] == colour[5:7]:
        return colour
    shade = int(colour[1:3], 16)
    if shade == 0xFF:
        return "var(--paper)"
    return "var(--line)" if shade >= 0xB0 else "var(--soft)" if shade >= 0x40 else "var(--ink)"
