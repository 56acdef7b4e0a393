"""What `asrbench compare --paper` writes besides the tables: PDFs, and LaTeX that includes them."""

import re
from dataclasses import replace
from pathlib import Path

from studies import study

from asrbench.report.paper import NAME, figures
from asrbench.report.plots.study import pictures
from asrbench.report.study import Analysis, Settings
from asrbench.stages.compare.study import write


def test_every_pdf_is_included_with_its_title_and_caption() -> None:
    found = figures(study())
    names = [picture.name for picture in pictures(study())]
    assert re.findall(r"\\includegraphics\[[^]]*\]\{(.*?)\.pdf\}", found) == names
    assert found.count("\\begin{figure}") == found.count("\\end{figure}") == len(names)
    assert "\\caption{Difference to ds2, test. Left of zero: fewer errors" in found
    assert "95 \\% interval" in found


def test_texts_of_strangers_are_no_commands() -> None:
    bad = "an4\n\\input{/etc/passwd}%"
    spoilt = replace(study(), corpus=replace(study().corpus, name=bad))
    assert "\\input" not in figures(spoilt)
    assert "an4 \\textbackslash{}input\\{/etc/passwd\\}\\%" in figures(spoilt)


def test_pdfs_are_written_on_request_and_go_with_the_next_study(tmp_path: Path) -> None:
    found = Analysis(settings=Settings(), studies=(study(),))
    written = write(found, tmp_path, paper=True).files
    assert {Path(name).suffix for name in written} >= {".pdf", ".png", ".svg", ".tex"}
    assert {path.name for path in tmp_path.iterdir()} == {*written}
    assert (tmp_path / NAME).read_text(encoding="utf-8") == figures(study())
    # PDFs of an earlier study would not be those of the tables beside them.
    without = write(found, tmp_path).files
    assert {path.name for path in tmp_path.iterdir()} == {*without}
    assert not [name for name in without if name.endswith(".pdf") or name == NAME]
