"""A study as one page that opens from disk: nothing in it is fetched, nothing in it can call out.

`views` turns the study document into tables, `utterances` into what was heard, `vectors` its
figures into SVG that follows the page's colours; `clips` adds audio, `inspect` what `inspect` saw.
`page.html` lays them out; `page.css` and `page.js` are written into it.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from asrbench.base.files import write_text
from asrbench.report.page import clips, inspect, utterances, vectors, views
from asrbench.report.plots import study as plots_study

NAME = "report.html"
_HERE = Path(__file__).parent


def write(study: Mapping[str, Any], folder: Path, corpus: Path | None = None) -> Path:
    """Leaves `report.html` in `folder`; returns its path.

    `study` is the document that `asrbench compare` computes. `corpus` is the prepared corpus the
    audio of the largest wins and losses is taken from; without it, or where it is another than
    that of the runs, the page says that there is none. Pictures that `asrbench inspect` left are
    taken from the run folders.
    """
    path = folder / NAME
    write_text(path, page(study, corpus))
    return path


def page(study: Mapping[str, Any], corpus: Path | None = None) -> str:
    browser = utterances.browser(study)
    audio = clips.clips(
        corpus, study["corpus"]["fingerprint"], study["split"], [row.id for row in browser.rows]
    )
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    figures = [vectors.Vector.of(picture) for picture in plots_study.pictures(study)]
    return _template().render(
        study=study,
        policy=_policy(script),
        # The two files are ours and hold no text of a study.
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        facts=views.facts(study),
        verdicts=views.verdicts(study),
        results=views.results(study),
        further=views.further(study),
        breakdown=views.breakdown(study),
        figures=figures,
        gradients=inspect.gradients(study),
        inspections=inspect.inspections(study),
        browser=browser,
        audio=audio,
        confusions=views.confusions(study),
        runs=views.folded(study),
    )


def _template() -> Template:
    house = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return house.get_template("page.html")


def _policy(script: str) -> str:
    """What a browser may do with the page: run this one script, show what is written in it."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
    )
