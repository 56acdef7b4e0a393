"""Studies as one HTML page that opens from disk and fetches nothing.

`views` makes tables of the study, `breakdown` those that show where systems differ, `other_tests`
sentences on tests that disagree with a verdict, `utterances` the list of aligned hypotheses,
`vectors` figures as SVG in the colours of the page, `clips` audio, and `inspect` attention maps.
`page.html` is the template of the page and `study.html` that of each study in it; `page.css` and
`page.js` are written into the page.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from asrbench.base.files import write_text
from asrbench.report.answer import sentences
from asrbench.report.page import breakdown, clips, inspect, utterances, vectors, views
from asrbench.report.page.other_tests import disagreements
from asrbench.report.plots import study as plots_study
from asrbench.report.study import Study

NAME = "report.html"
_HERE = Path(__file__).parent


def write(studies: Sequence[Study], folder: Path, corpus: Path | None = None) -> Path:
    """Writes `report.html` to `folder`; returns its path.

    Audio of the utterances with the largest differences comes from `corpus`, the prepared corpus;
    without it, or if it is not the corpus of the runs, the page says that it has no audio. Pictures
    of `asrbench inspect` come from the run folders.
    """
    path = folder / NAME
    write_text(path, page(*studies, corpus=corpus))
    return path


def page(*studies: Study, corpus: Path | None = None) -> str:
    """Returns the HTML of the page, with the studies one after the other."""
    places = [f"s{number}-" if studies[1:] else "" for number in range(1, len(studies) + 1)]
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    return _template("page.html").render(
        parts=list(map(partial(_part, studies[0], corpus), studies, places)),
        policy=_policy(script),
        # Both files belong to the package and hold no text of a study.
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
    )


@dataclass(frozen=True)
class _Part:
    """One study of the page."""

    study: Study
    place: str
    """The beginning of its ids; empty if it is the only study."""
    answer: str
    limits: str
    inspected_title: str
    """Title of the section that shows attention maps and gradients; empty without that section."""
    body: Markup


def _part(first: Study, corpus: Path | None, study: Study, place: str) -> _Part:
    listed = utterances.utterance_list(study)
    split = None if study.folds else study.split
    audio = clips.clips(corpus, study.corpus.fingerprint, split, [row.id for row in listed.rows])
    # Gradients are of the training, whatever the split, so the first study alone has them.
    gradients = inspect.gradients(study) if study is first else None
    inspections = inspect.inspections(study)
    title = _inspected_title(gradients, inspections)
    figures = {
        each.name: vectors.Vector.of(replace(each, name=place + each.name))
        for each in plots_study.pictures(study)
    }
    answer, *limits = sentences(study)
    body = _template("study.html").render(
        study=study,
        place=place,
        facts=views.facts(study),
        verdicts=views.verdicts(study),
        results=views.results(study),
        further=views.further(study),
        breakdown=breakdown.tables(study),
        differences=figures.pop("differences", None),
        figures=figures.values(),
        other_tests=disagreements(study),
        gradients=gradients,
        inspections=inspections,
        inspected_title=title,
        listed=listed,
        audio=audio,
        confusions=views.confusions(study),
        records=views.records(study),
    )
    return _Part(study, place, answer, " ".join(limits), title, Markup(body))


def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["typeset"] = views.typeset
    return environment.get_template(name)


def _policy(script: str) -> str:
    """Returns the content security policy: only this script runs, and nothing is fetched."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
    )


def _inspected_title(gradients: inspect.Gradients | None, inspections: inspect.Inspections) -> str:
    """Returns the title of the section that shows what there is of these; empty without any."""
    if not inspections.utterances:
        return "Gradients" if gradients else ""
    return "Attention maps and gradients" if gradients else "Attention maps"
