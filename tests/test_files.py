import errno
import itertools
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from asrbench.base.errors import UserError
from asrbench.base.files import (
    atomic,
    make_parents,
    open_regular,
    read_json,
    read_jsonl,
    read_utf8,
    strays,
    temporary_beside,
    write_json,
    write_jsonl,
    write_text,
)
from asrbench.base.folders import (
    atomic_files,
    atomic_folder,
    delete_with,
    folders_below,
    settle,
    unsettled,
)
from asrbench.base.resources import resource_error


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
from asrbench.base.folders import atomic_folder
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


KILLED_AT_STEP = """
import itertools, os, sys
from pathlib import Path
from asrbench.base.folders import atomic_files, atomic_folder, delete_with
step, out = int(sys.argv[1]), Path(sys.argv[2])
steps = itertools.count()
CHANGES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree")
def kill(event, arguments):
    if event in CHANGES and next(steps) == step:
        os._exit(9)
sys.addaudithook(kill)
"""
KILLED_FOLDER = f"""{KILLED_AT_STEP}
with atomic_folder(out, replace=True) as folder:
    (folder / "new").write_text("")
    (folder / "corpus.json").write_text("")
"""
KILLED_FILES = f"""{KILLED_AT_STEP}
with atomic_files(out, "report") as folder:
    for name in "abc":
        (folder / name).write_text("new")
    delete_with(folder, ["c", "e", "f"])
"""


def test_replacement_killed_at_any_step_is_completed_or_undone_by_the_next_call(tmp_path):
    killed_at = []
    for step in itertools.count():
        home = tmp_path / str(step)
        out = home / "an4"
        with atomic_folder(out) as folder:
            (folder / "old").write_text("")
            (folder / "corpus.json").write_text("")
        arguments = [sys.executable, "-c", KILLED_FOLDER, str(step), str(out)]
        done = subprocess.run(arguments, check=False)
        if done.returncode == 0:
            break
        assert done.returncode == 9
        killed_at.append(step)
        # The next call fails in its own work, and the folder must survive that too.
        with suppress(KeyboardInterrupt), atomic_folder(out, replace=True) as folder:
            (folder / "third").write_text("")
            raise KeyboardInterrupt
        assert names(out) in (["corpus.json", "old"], ["corpus.json", "new"]), step
        assert names(home) == ["an4"], step
        with atomic_folder(out, replace=True) as folder:
            (folder / "fourth").write_text("")
        assert names(out) == ["fourth"], step
    assert len(killed_at) >= 6


def test_files_appear_together_or_not_at_all(tmp_path):
    with suppress(KeyboardInterrupt), atomic_files(tmp_path / "new", "report") as folder:
        (folder / "table").write_text("")
        raise KeyboardInterrupt
    assert names(tmp_path) == []
    (tmp_path / "other").write_text("")
    with atomic_files(tmp_path, "report") as folder:
        (folder / "table").write_text("")
        assert unsettled(tmp_path) == [], "a living process makes them"
        with pytest.raises(UserError, match="another process is making it"):
            settle(tmp_path / "report")
    assert names(tmp_path) == ["other", "table"]


def test_files_killed_at_any_step_are_all_old_or_are_all_made_new_by_the_next_call(tmp_path):
    results = set()
    for step in itertools.count():
        home = tmp_path / str(step)
        home.mkdir()
        for name in "abcde":
            (home / name).write_text("old")
        done = subprocess.run([sys.executable, "-c", KILLED_FILES, str(step), str(home)])
        if done.returncode == 0:
            break
        assert done.returncode == 9
        found = [(home / name).read_text() for name in "abc"]
        gone = not (home / "e").exists()
        assert {(text == "new") for text in found} == {gone} or unsettled(home) == [home / "report"]
        with suppress(KeyboardInterrupt), atomic_files(home, "report"):
            raise KeyboardInterrupt
        results.add(tuple((path.name, path.read_text()) for path in sorted(home.iterdir())))
    old, new = dict.fromkeys("abcde", "old"), dict.fromkeys("abc", "new") | {"d": "old"}
    assert results == {tuple(old.items()), tuple(new.items())}


def test_only_files_of_the_folder_itself_are_deleted(tmp_path):
    (tmp_path / "mine").write_text("")
    folder = tmp_path / "results"
    (folder / "kept").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "mine")
    with atomic_files(folder, "report") as temporary:
        delete_with(temporary, ["../mine", str(tmp_path / "mine"), "kept", "link", "gone"])
    assert names(tmp_path) == ["mine", "results"]
    assert names(folder) == ["kept"]


def test_symbolic_link_stays_a_link_and_its_folder_is_replaced(tmp_path):
    disk, link = tmp_path / "disk" / "an4", tmp_path / "an4"
    link.symlink_to(disk)
    with atomic_folder(link) as folder:
        (folder / "old").write_text("")
    with atomic_folder(link, replace=True) as folder:
        (folder / "new").write_text("")
    assert link.readlink() == disk
    assert names(disk) == ["new"]
    assert names(disk.parent) == ["an4"]
    assert names(tmp_path) == ["an4", "disk"]


def test_links_planted_under_the_temporary_names_are_not_followed(tmp_path):
    private = tmp_path / "private"
    private.mkdir()
    (private / "diary").write_text("")
    (tmp_path / ".an4.tmp").symlink_to(private)
    with atomic_folder(tmp_path / "an4") as folder:
        (folder / "corpus.json").write_text("")
    for end in ("tmp", "whole"):
        (tmp_path / f".report.{end}").symlink_to(private)
    with atomic_files(tmp_path, "report"):
        pass
    assert names(private) == ["diary"]
    assert names(tmp_path) == ["an4", "private"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660), (0o077, 0o600)])
def test_mode_follows_the_umask_whatever_the_writer_does(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with atomic(tmp_path / "weights") as temporary:
            # As safetensors does it.
            other = tmp_path / "other"
            os.close(os.open(other, os.O_CREAT | os.O_WRONLY, 0o600))
            other.replace(temporary)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "weights").stat().st_mode) == mode


def test_temporary_files_are_created_exclusively(tmp_path, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda _: 8 * "0")
    with temporary_beside(tmp_path / "scores.json") as temporary:
        taken = temporary
    (tmp_path / "victim").write_text("precious")
    taken.symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "scores.json", "attack")
    assert (tmp_path / "victim").read_text() == "precious"


LEAVES_A_STRAY = """
import os, sys
from pathlib import Path
from asrbench.base.files import atomic
with atomic(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os._exit(9)
"""


def test_next_write_sweeps_the_strays_of_processes_that_are_gone(tmp_path):
    subprocess.run([sys.executable, "-c", LEAVES_A_STRAY, str(tmp_path / "a")], check=False)
    (stray,) = strays(tmp_path)
    (tmp_path / "notes.tmp-mine").write_text("the user's")
    elsewhere = tmp_path / "a.tmp-00000000-1-00000000"
    elsewhere.write_text("another machine's")
    with atomic(tmp_path / "b") as temporary:
        assert not stray.exists()
        assert strays(tmp_path) == []
        write_text(tmp_path / "c", "")
        assert temporary.exists()
    assert names(tmp_path) == [elsewhere.name, "b", "c", "notes.tmp-mine"]


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


def test_a_pipe_or_a_device_is_not_read(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(UserError, match=r"cannot be read \(it is no regular file\)"):
            read_utf8(path)
        with pytest.raises(OSError, match="no regular file"), open_regular(path):
            pass


def test_a_file_beyond_the_limit_is_not_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("12345")
    assert read_utf8(path, limit=5) == "12345"
    with pytest.raises(UserError, match="it has more than 4 bytes"):
        read_utf8(path, limit=4)


def test_json_that_is_nested_too_deep_is_one_line(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(100_000 * "[" + 100_000 * "]")
    with pytest.raises(UserError, match=r"a.json: not JSON \(nested too deeply\)"):
        read_json(path)
    with pytest.raises(UserError, match=r"a.json, line 1: not JSON \(nested too deeply\)"):
        read_jsonl(path)


def test_links_in_a_circle_are_followed_once(tmp_path):
    """Eight folders that each link to all others have 8! paths without a repetition."""
    root = tmp_path / "root"
    for name in "abcdefgh":
        (root / name).mkdir(parents=True)
        (root / name / f"{name}.txt").touch()
        for other in "abcdefgh":
            (root / name / f"to_{other}").symlink_to(root / other)
        (root / name / "up").symlink_to(root)
    found = [name for _, files in folders_below(root) for name in files]
    assert sorted(found) == [f"{name}.txt" for name in "abcdefgh"]


def test_a_link_that_leads_back_to_itself_is_one_line(tmp_path):
    circle = tmp_path / "circle"
    circle.symlink_to("circle")
    with pytest.raises((RuntimeError, OSError)) as caught:
        circle.resolve(strict=True)
    line = resource_error(caught.value)
    assert str(line) == (
        f"{circle}: Too many levels of symbolic links; it is a link that leads back to itself; "
        f"choose another place"
    )


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EACCES], ids=os.strerror)
def test_a_folder_that_vanishes_or_cannot_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As those of /proc vanish. `Path.glob` says nothing of a folder that cannot be read."""
    for name in ("b", "a"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "x.txt").touch()
    folders = [tmp_path, *(tmp_path / name for name in ("a", "a/deep", "b", "b/deep"))]
    assert [folder for folder, _ in folders_below(tmp_path)] == folders
    shallow = [(tmp_path, []), (tmp_path / "a", ["x.txt"]), (tmp_path / "b", ["x.txt"])]
    assert list(folders_below(tmp_path, depth=1)) == shallow
    scandir = os.scandir

    def refused(path: str) -> object:
        if Path(path).name == "b":
            raise OSError(code, os.strerror(code), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(UserError, match=rf"^{tmp_path}/b: cannot be read \({os.strerror(code)}"):
        list(folders_below(tmp_path))


def test_what_torch_says_of_a_file_that_it_cannot_open_is_one_line(tmp_path: Path) -> None:
    """safetensors has torch map the file."""
    path = tmp_path / "a.safetensors"
    path.touch()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        with pytest.raises(RuntimeError) as caught:
            torch.UntypedStorage.from_file(str(path), False, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    line = str(resource_error(caught.value))
    assert line.startswith(f"{path}: Too many open files; ")


def test_a_path_of_two_thousand_folders_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the kernel takes no path of more than 4,096 bytes
    with pytest.raises(
        UserError, match=r"^a/\.\.\.: found 1,500 folders that do not exist, one in"
    ):
        make_parents(Path("a/" * 1500 + "file"))
    assert names(tmp_path) == []
    assert len(make_parents(Path("a/" * 100 + "file"))) == 100


def test_folders_are_made_all_or_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mkdir = Path.mkdir

    def refused(path, **options):
        if path.name == "c":
            raise PermissionError(errno.EACCES, "Permission denied")
        mkdir(path, **options)

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(UserError, match=r"^a/b/c/d: cannot be made \(Permission denied\)$"):
        make_parents(Path("a/b/c/d/file"))
    assert names(tmp_path) == []
