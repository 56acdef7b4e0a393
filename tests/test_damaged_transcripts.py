"""Damaged transcripts of every format: refused in one line that names the file, or scored."""

import json
from pathlib import Path

import pytest
from mutations import BYTES, DOCUMENTS, damaged_files, refusal

from asrbench.scoring.hypotheses import gather

FILES = {
    "hyp.trn": "ONE TWO (u1)\nTHREE (u2)\n",
    "hyp.tsv": "u1\tONE TWO\nu2\tTHREE\n",
    "text": "u1 ONE TWO\nu2 THREE\n",
    "hyp.csv": "targets,predictions\nONE TWO,ONE\nTHREE,THREE\n",
    "asrbench.jsonl": '{"id": "u1", "reference": "ONE TWO", "hypothesis": "ONE"}\n'
    '{"id": "u2", "reference": "THREE", "hypothesis": "THREE"}\n',
    "nemo.jsonl": '{"audio_filepath": "x/u.wav", "offset": 1.5, "text": "ONE", "pred_text": "A"}\n'
    '{"audio_filepath": "x/u.wav", "offset": 3.5, "text": "TWO", "pred_text": "TWO"}\n',
    "list.json": '[{"id": "u1", "reference": "ONE TWO", "hypothesis": "ONE"}]',
    "whisper.json": '{"text": "ONE TWO", "segments": [{"id": 0, "text": "ONE TWO"}]}',
    "whisperx.json": '{"segments": [{"text": "ONE"}, {"text": "TWO"}]}',
}


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_or_scored(name: str, tmp_path: Path) -> None:
    path, reference = tmp_path / name, tmp_path / "reference" / name
    reference.parent.mkdir()
    for each in (path, reference):
        each.write_text(FILES[name])
    kinds = DOCUMENTS if "json" in name else BYTES
    refused = 0
    for _ in damaged_files(path, 200, 11, kinds):
        said = refusal(lambda: gather(reference, {"A": [path]}, "verbatim"))
        refused += said is not None
        refusal(lambda: gather(None, {"A": [path]}, "verbatim"))
    assert refused > 20


@pytest.mark.parametrize("offset", ["x", True, [1], -1, float("nan"), float("inf")])
def test_an_offset_that_is_no_time_is_named(offset: object, tmp_path: Path) -> None:
    path = tmp_path / "nemo.jsonl"
    path.write_text(FILES["nemo.jsonl"].replace("1.5", _json(offset)))
    said = refusal(lambda: gather(None, {"A": [path]}, "verbatim"))
    assert said == f"{path}, line 1: found {_json(offset)!r} under 'offset', allowed: seconds"


@pytest.mark.parametrize("segment", ['"ONE"', "{}", "null", '{"text": 3}'])
def test_a_segment_without_a_text_is_named(segment: str, tmp_path: Path) -> None:
    path, reference = tmp_path / "u1.json", tmp_path / "ref.tsv"
    reference.write_text("u1\tONE TWO\n")
    path.write_text(f'{{"segments": [{{"text": "ONE"}}, {segment}]}}')
    said = refusal(lambda: gather(reference, {"A": [path]}, "verbatim"))
    assert said == (f"{path}, segment 2: found {segment!r}, allowed: an object with a 'text'")


def test_a_cell_that_is_too_long_is_named(tmp_path: Path) -> None:
    """As of a quote that is never closed, which takes the rest of the file for one cell."""
    path = tmp_path / "hyp.csv"
    path.write_text("targets,predictions\nONE,ONE\n" + "A" * 200_000 + ",B\n")
    said = refusal(lambda: gather(None, {"A": [path]}, "verbatim"))
    assert said is not None
    assert said.startswith(f"{path}, line 3: not CSV (field larger than field limit")


def _json(value: object) -> str:
    return json.dumps(value)
