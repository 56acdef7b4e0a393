"""The site of the pages: it builds without a warning, and its reference is the whole program."""

import html
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from commands_page import commands
from hooks import generated_pages, repository_path, site_uri
from pages import ROOT
from record_fields import records_within
from spec_page import sections, spec_pages, values_of

from asrbench.data.corpus_writer import SCHEMA
from asrbench.experiment.kinds import Kinds
from asrbench.experiment.registry import MODELS
from asrbench.experiment.spec_model import ATTENTION, ENCODERS, HEADS
from asrbench.experiment.spec_schema import spec_schema
from asrbench.report.study import Study


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """The reference, with the kinds that plug-ins of other tests have registered by now."""
    return generated_pages()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    variables = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_every_page_is_built_and_leads_to_every_other_by_the_navigation(
    site: Path, generated: dict[str, str]
) -> None:
    """`validation` in mkdocs.yml makes links and anchors that lead nowhere errors."""
    pages = [path.with_suffix("").name for path in (ROOT / "docs").glob("*.md")]
    pages += [f"reference/{Path(name).stem}" for name in generated]
    home = read(site / "index.html")
    for page in pages:
        assert (site / f"{page}.html").is_file()
        assert f'href="{page}.html"' in home or page == "index"


def test_a_link_out_of_the_pages_leads_to_a_copy_on_the_site(site: Path) -> None:
    found = re.search(r'<img alt="[^"]*" src="([^"]+)"', read(site / "index.html"))
    assert found is not None
    assert (site / found[1]).read_bytes() == (
        ROOT / "results/published/an4/differences.png"
    ).read_bytes()
    # And from there back to the pages, as the README does.
    assert 'href="../tutorial.html"' in read(site / "repository/index.html")


def test_no_other_host_is_asked_for_anything(site: Path) -> None:
    """What a browser loads by itself; a link that a reader clicks may lead anywhere."""
    for page in site.rglob("*.html"):
        tags = re.findall(r"<(?:script|img|iframe|link|source|video|audio)\b[^>]*>", read(page))
        hosts = [tag for tag in tags if re.search(r"""(?:src|href)=["']?(?:https?:)?//""", tag)]
        assert hosts == [], page
    assert not re.search(r"url\(\s*[\"']?(?:https?:)?//|@import", read(site / "site.css"))


def test_no_path_of_this_machine(site: Path) -> None:
    places = {str(ROOT), str(Path.home()), os.sep.join(sys.executable.split(os.sep)[:3])}
    for page in [*site.rglob("*.html"), site / "search/search_index.json"]:
        assert [place for place in places if f"{place}/" in read(page)] == [], page


def test_two_builds_of_the_reference_are_alike(generated: dict[str, str]) -> None:
    assert generated_pages() == generated


# The reference


def test_every_key_of_every_kind_has_a_row_with_its_description() -> None:
    pages = "".join(spec_pages().values())
    found = [kind for section in sections(spec_schema()) for kind in section.kinds]
    assert {each["title"] for each in found} >= {
        name
        for name in spec_schema()["definitions"]
        if name not in ("Variant", "PluginFile", "FoldSpec")
        # Kinds of plug-ins that other tests have registered; their classes may have equal names.
        and not name.startswith("asrbench_plugin_")
    }
    for kind in found:
        for key in kind["properties"]:
            assert key == "kind" or f"\n| `{key}` |" in pages, key


@pytest.mark.parametrize("table", [ATTENTION, ENCODERS, HEADS], ids=lambda table: table.section)
def test_every_registered_kind_has_a_heading(table: Kinds, generated: dict[str, str]) -> None:
    for kind in table.names():
        assert f"### kind: {kind}\n" in generated["model.md"]


def test_every_model_has_a_row(generated: dict[str, str]) -> None:
    for name in MODELS:
        assert f"\n| `{name}` |" in generated["model.md"]


def test_a_key_as_it_is_shown(generated: dict[str, str]) -> None:
    (optimizer,) = (each for each in sections(spec_schema()) if each.path == "train.optimizer")
    assert optimizer.kinds[0]["title"] == "OptimizerSpec"
    row = "| `lr` | number, above 0 | `0.0003` | Peak learning rate. |"
    assert row in generated["spec.md"].partition('<a id="train.optimizer"></a>')[2]


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 100}, "whole number, 1 to 100"),
        ({"type": "integer", "minimum": 1, "maximum": 10**9}, "whole number, at least 1"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "number, at least 0 and below 1"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number, above 0 and at most 1"),
        ({"enum": ["a", "b"], "type": "string"}, "`a`, `b`"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text, or `null`"),
        ({"type": "array", "items": {"type": "string"}}, "list: text"),
        ({"type": "array", "items": [{"type": "number"}] * 2}, "list of 2: number"),
        ({"type": "object"}, "mapping"),
    ],
)
def test_values_in_words(about: dict[str, object], words: str) -> None:
    assert values_of(about) == words


def test_every_command_and_option_is_there(generated: dict[str, str]) -> None:
    page = generated["options.md"]
    names = [name for name, _ in commands()]
    assert len(names) > 20
    for name, command in commands():
        section = page.partition(f"## asrbench {name}\n")[2].partition("\n## ")[0]
        assert section, name
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("-") or option in section, f"{name} {option}"
        assert section.count("\n| `") == len(command.params)


def test_every_record_of_a_study_and_every_column_of_a_corpus_is_there(
    generated: dict[str, str],
) -> None:
    for record in records_within(Study):
        section = generated["json.md"].partition(f"\n## {record.__name__}\n")[2]
        section = section.partition("\n## ")[0]
        names = getattr(record, "_fields", None) or [field.name for field in fields(record)]
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(names)
    columns = re.findall(r"^\| `(\w+)` \|", generated["corpus_folder.md"], re.MULTILINE)
    assert columns == SCHEMA.names


def test_no_record_that_is_read_back_has_a_field_without_words(generated: dict[str, str]) -> None:
    assert "|  |" not in generated["run_folder.md"]
    assert "spec.yaml" in generated["run_folder.md"]


# Links


@pytest.mark.parametrize(
    ("page", "link", "file", "uri"),
    [
        ("an4.md", "../results/published/an4/table.md", "results/published/an4/table.md", None),
        ("an4.md", "folds.md", "docs/folds.md", "folds.md"),
        ("repository/README.md", "docs/folds.md", "docs/folds.md", "folds.md"),
        ("repository/README.md", "README.ko.md", "README.ko.md", "repository/README.ko.md"),
    ],
)
def test_where_a_link_leads(page: str, link: str, file: str, uri: str | None) -> None:
    assert repository_path(page, link) == file
    assert site_uri(file) == (uri or f"repository/{file}")


TAGS = """
a article blockquote br button code del div em h1 h2 h3 h4 hr img li ol p path pre span strong svg
table tbody td th thead tr ul
"""
"""What Markdown makes. Not `i`: the text `seed<k>-fold<i>` would become one."""


def test_no_text_is_read_as_a_tag(site: Path) -> None:
    for page in site.rglob("*.html"):
        content = read(page).partition("<article")[2].partition("</article>")[0]
        assert set(re.findall(r"<([a-z]\w*)", content)) <= set(TAGS.split()), page
    page = html.unescape(read(site / "reference/run_folder.html"))
    assert "results/<experiment>/<variant>/seed<k>-<id8>/" in page
