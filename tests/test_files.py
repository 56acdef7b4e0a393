import json
import signal
import stat
import subprocess
import sys
from contextlib import suppress

import pytest

from asrbench.base.errors import UserError
from asrbench.base.files import (
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
        pytest.raises(UserError, match=r"an4: exists already; choose another --out, or --force$"),
        atomic_folder(out),
    ):
        pass
    assert names(tmp_path) == ["an4"]


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    script = f"""
import os, signal
from pathlib import Path
from asrbench.base.files import atomic_folder
with atomic_folder(Path({str(tmp_path / "an4")!r})) as folder:
    (folder / "train.arrow").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    assert "an4" not in names(tmp_path)
    with atomic_folder(tmp_path / "an4") as folder:
        assert names(folder) == []
        (folder / "corpus.json").write_text("{}")
    assert names(tmp_path) == ["an4"]
    assert names(tmp_path / "an4") == ["corpus.json"]


def test_two_never_make_the_same_folder(tmp_path):
    out = tmp_path / "an4"
    with atomic_folder(out) as folder:
        (folder / "one").write_text("")
        expected = r"an4: another process is making it; wait, or stop that first"
        with pytest.raises(UserError, match=expected), atomic_folder(out):
            pass
        with pytest.raises(UserError, match=expected), atomic_folder(out, replace=True):
            pass
    assert names(tmp_path) == ["an4"]
    assert names(out) == ["one"]


def test_replacing_happens_at_the_end_or_not_at_all(tmp_path):
    out = tmp_path / "an4"
    with atomic_folder(out) as folder:
        (folder / "old").write_text("")
    with suppress(KeyboardInterrupt), atomic_folder(out, replace=True) as folder:
        (folder / "new").write_text("")
        raise KeyboardInterrupt
    assert names(out) == ["old"]
    with atomic_folder(out, replace=True) as folder:
        (folder / "new").write_text("")
        assert names(out) == ["old"]
    assert names(out) == ["new"]
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
