import json
import stat

import pytest

from asrbench.errors import UserError
from asrbench.files import (
    atomic,
    atomic_folder,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_atomic_replaces_the_file_when_the_block_ends(tmp_path):
    path = tmp_path / "a" / "scores.json"
    write_text(path, "old")
    with atomic(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "new"
    assert names(path.parent) == ["scores.json"]


def test_atomic_leaves_the_old_file_when_the_block_raises(tmp_path):
    path = tmp_path / "scores.json"
    write_text(path, "old")

    def interrupted():
        with atomic(path) as temporary:
            temporary.write_text("half a fi")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["scores.json"]


def test_value_that_is_no_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "scores.json"
    write_json(path, {"cer": 0.5})
    with pytest.raises(TypeError):
        write_json(path, {"cer": object()})
    assert read_json(path) == {"cer": 0.5}
    assert names(tmp_path) == ["scores.json"]


def test_atomic_folder_appears_whole(tmp_path):
    out = tmp_path / "data" / "an4"
    with atomic_folder(out) as temporary:
        (temporary / "corpus.json").write_text("{}")
        assert not out.exists()
    assert names(out) == ["corpus.json"]
    assert names(out.parent) == ["an4"]
    (tmp_path / "plain").mkdir()
    assert stat.S_IMODE(out.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_atomic_folder_leaves_nothing_when_the_block_raises(tmp_path):
    def broken():
        with atomic_folder(tmp_path / "an4") as temporary:
            (temporary / "train.arrow").write_text("half")
            raise UserError("no audio")

    with pytest.raises(UserError):
        broken()
    assert names(tmp_path) == []


def test_atomic_folder_overwrites_nothing(tmp_path):
    out = tmp_path / "an4"
    out.mkdir()
    with (
        pytest.raises(UserError, match=r"an4: exists already; choose another --out"),
        atomic_folder(out),
    ):
        pass
    assert names(tmp_path) == ["an4"]


def test_jsonl_round_trip_in_plain_utf8(tmp_path):
    rows = [{"id": "1", "text": "어제"}, {"id": "2", "text": ""}]
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, rows)
    assert "어제" in path.read_bytes().decode("utf-8")
    assert read_jsonl(path) == rows


def test_file_that_is_no_json_is_named_with_its_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({}) + "\n{half\n")
    with pytest.raises(UserError, match=r"rows\.jsonl, line 2: not JSON \("):
        read_jsonl(path)
    with pytest.raises(UserError, match=r"rows\.jsonl: not JSON \("):
        read_json(path)
