"""Figures as SVG within the page, with the colours of the page and ids of their own."""

import re
from dataclasses import dataclass

from markupsafe import Markup

from asrbench.report.plots.base import COLOURS
from asrbench.report.plots.study import Picture, rendered

_VARIABLES = {colour.lower(): f"var(--c{place})" for place, colour in enumerate(COLOURS)}
_COLOUR = re.compile("#[0-9a-f]{6}", re.IGNORECASE)


@dataclass(frozen=True)
class Vector:
    """A figure of the page."""

    name: str
    title: str
    caption: str
    svg: Markup

    @classmethod
    def of(cls, picture: Picture) -> "Vector":
        svg = rendered(picture, ".svg", bare=True).decode()
        return cls(picture.name, picture.title, picture.caption, Markup(inlined(svg, picture.name)))


def inlined(svg: str, name: str) -> str:
    """Returns `svg` as an element of a page.

    Texts are outlines already, so none of them can be markup; comments repeat texts, so they are
    removed.
    """
    svg = svg[svg.index("<svg") :]
    for unwanted in (r"<!--.*?-->", r"<metadata>.*?</metadata>", r"<style[^>]*>.*?</style>"):
        svg = re.sub(unwanted, "", svg, flags=re.DOTALL)
    # Several figures are in one page, so each gets ids of its own.
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    # The page sets the width, and the height follows.
    svg = re.sub(
        r'<svg [^>]*?(viewBox="[^"]+")[^>]*>', r'<svg \1 aria-hidden="true">', svg, count=1
    )
    svg = _COLOUR.sub(lambda match: _page_colour(match[0].lower()), svg)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()


def _page_colour(colour: str) -> str:
    """Returns the property of `page.css` for a colour; greys stand for paper, lines or text."""
    if colour in _VARIABLES:
        return _VARIABLES[colour]
    if not colour[1:3] == colour[3:5] == colour[5:7]:
        return colour
    shade = int(colour[1:3], 16)
    if shade == 0xFF:
        return "var(--paper)"
    return "var(--line)" if shade >= 0xB0 else "var(--soft)" if shade >= 0x40 else "var(--ink)"
