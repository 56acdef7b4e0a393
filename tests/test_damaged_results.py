"""Damaged files of results: each is refused in one line or used, and no run stops another."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from mutations import BYTES, DOCUMENTS, damaged_files, other_value, refusal, without_key
from scored_runs import REFERENCES, RESULTS, begin, score, wrong
from typer.testing import CliRunner

from asrbench.cli.app import app
from asrbench.experiment.run_folder import Run
from asrbench.report.page.inspect import inspections
from asrbench.report.study import Analysis, Settings
from asrbench.stages.compare.study import analysis_of, write

FILES = ("spec.yaml", "env.json", "history.jsonl", "scores.json", "hypotheses.test.jsonl")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Two variants with two seeds each, in results/an4 of the working folder."""
    monkeypatch.chdir(tmp_path)
    made = [begin(variant, seed) for variant in ("ds2", "ds2_selfattn") for seed in (0, 1)]
    for edits, run in enumerate(made, start=1):
        score(run, wrong(edits), more={"utterances": len(REFERENCES)})
    return made


def compared() -> Analysis:
    return write(analysis(replicates=0), Path("out"))


def analysis(folder: Path = RESULTS, replicates: int = 20) -> Analysis:
    return analysis_of([folder], Settings(replicates=replicates))


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_or_used_and_never_a_traceback(
    name: str, runs: list[Run]
) -> None:
    path = runs[-1].folder / name
    if name == "spec.yaml":  # every JSON document is YAML
        path.write_text(json.dumps(yaml.safe_load(path.read_text())))
    kinds = (*BYTES, without_key, other_value) if name == "spec.yaml" else DOCUMENTS
    for _ in damaged_files(path, 80, 13, kinds):
        refusal(compared)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_run_is_left_out_and_the_others_are_compared(name: str, runs: list[Run]) -> None:
    (runs[-1].folder / name).write_bytes(b'{"a": \xff')
    result: Any = CliRunner().invoke(app, ["compare", "results", "--replicates", "0"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: the study lacks 1 run: ")
    assert str(runs[-1].folder / name) in result.stderr.replace("\n", "")
    (study,) = Analysis.from_json(Path("results/study.json").read_text()).studies
    assert [len(system.runs) for system in study.systems] == [2, 1]
    (fault,) = study.damaged
    assert f"- left out, because a file is damaged: {fault}" in Path("results/table.md").read_text()


def test_a_damaged_run_that_is_scored_on_another_split_is_named(runs: list[Run]) -> None:
    elsewhere = score(begin("ds2_posattn", 0), wrong(1), split="dev")
    path = elsewhere.hypotheses_path("dev", "greedy")
    path.write_text("torn")
    (fault,) = compared().damaged
    assert fault.startswith(str(path))


def test_a_cut_file_of_hypotheses_is_noticed(runs: list[Run]) -> None:
    """Cut at the end of a line, where every line that is left is whole."""
    path = runs[-1].hypotheses_path("test", "greedy")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    (fault,) = compared().damaged
    assert "found 3 utterances, scores.json has 4" in fault


def test_a_compare_that_fails_leaves_no_file(
    runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    found = analysis()
    Path("out").mkdir()
    Path("out/table.md").write_text("before")
    monkeypatch.setattr("asrbench.report.page.write", broken)
    with pytest.raises(RuntimeError):
        write(found, Path("out"))
    assert [path.name for path in Path("out").iterdir()] == ["table.md"]
    assert Path("out/table.md").read_text() == "before"


@pytest.mark.parametrize("name", ["table.md", "study.json", "differences.png"])
def test_a_folder_in_the_place_of_a_file_leaves_the_others_as_they_are(
    runs: list[Run], name: str
) -> None:
    found = analysis()
    Path("out", name).mkdir(parents=True)
    Path("out/table.csv").write_text("before")
    said = refusal(lambda: write(found, Path("out")))
    assert said == f"out/{name}: is a folder; move it, or choose another --out"
    assert {path.name for path in Path("out").iterdir()} == {name, "table.csv"}
    assert Path("out/table.csv").read_text() == "before"


def test_files_of_an_earlier_analysis_do_not_stay_beside_a_new_one(runs: list[Run]) -> None:
    first = write(analysis(), Path("out")).files
    Path("out/mine.png").write_text("")
    assert {"differences.png", "report.html"} <= {*first}
    alone = write(analysis(runs[0].folder), Path("out")).files
    assert {*first} - {*alone} == {"differences.png", "differences.svg"}
    assert {path.name for path in Path("out").iterdir()} == {*alone, "mine.png"}
    rates = write(analysis(replicates=0), Path("out")).files
    assert rates == ("table.md", "table.csv", "table.tex", "study.json")
    assert {path.name for path in Path("out").iterdir()} == {*rates, "mine.png"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"files": 3}', '{"files": ["../secret", "kept", 3]}', "\ud800"]
)
def test_a_list_of_files_that_is_damaged_deletes_nothing_else(runs: list[Run], text: str) -> None:
    Path("out/kept").mkdir(parents=True)
    Path("secret").write_text("")
    Path("out/study.json").write_text(text, errors="surrogatepass")
    files = write(analysis(replicates=0), Path("out")).files
    assert {path.name for path in Path("out").iterdir()} == {*files, "kept"}
    assert Path("secret").exists()


def test_inspections_that_cannot_be_read_are_left_out_of_the_page(runs: list[Run]) -> None:
    (study,) = analysis().studies
    path = runs[-1].inspect_path("test")
    assert inspections(study).summary == ""
    path.write_text(json.dumps({"utterances": [{"id": "u1", "pictures": ["a.png"]}]}))
    for _ in damaged_files(path, 150, 17, DOCUMENTS):
        assert "\n" not in inspections(study).summary
    path.write_text(json.dumps({"utterances": [], "pictures": ["../secret.png"]}))
    assert "found the picture '../secret.png', allowed: files in" in inspections(study).summary
