import gzip
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.base.errors import Fault, UserError
from asrbench.stages.prep.lists import (
    UniqueIds,
    check_split_name,
    json_object,
    locate,
    number,
    numbered_lines,
    split_key,
    stem_of,
    string,
)


@pytest.mark.parametrize(
    ("line", "key", "rest"),
    [
        ("id one two", "id", "one two"),
        ("id\tone\ttwo", "id", "one\ttwo"),
        ("id  one ", "id", " one "),
        (" \tid one", "id", "one"),
        ("id", "id", ""),
        ("id ", "id", ""),
        ("id\u3000one two", "id\u3000one", "two"),
    ],
)
def test_a_key_ends_at_the_first_space_or_tab(line: str, key: str, rest: str) -> None:
    assert split_key(line) == (key, rest)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_lines_have_the_numbers_of_an_editor(tmp_path: Path, suffix: str) -> None:
    data = "\ufefffirst\r\n\r\n \t\nfo\u2028u\x85rth\nlast".encode()
    path = tmp_path / f"list{suffix}"
    path.write_bytes(gzip.compress(data) if suffix else data)
    assert numbered_lines(path, {}) == [(1, "first"), (4, "fo\u2028u\x85rth"), (5, "last")]


def test_what_is_no_gzip_or_no_text_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "list.gz"
    for data in (b"plain", gzip.compress(b"\xff\xfe\xfd"), gzip.compress(b"text" * 99)[:-4]):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"list\.gz: cannot be read \(") as caught:
            numbered_lines(path, {})
        assert "\n" not in str(caught.value)


@given(st.lists(st.sampled_from(["a", "a-2", "a-2-2", "b", "a-3"])))
def test_names_are_unique_and_begin_with_what_was_asked_for(wanted: list[str]) -> None:
    names = UniqueIds()
    given_names = [names.unique(name) for name in wanted]
    assert len(set(given_names)) == len(wanted)
    for name, found in zip(wanted, given_names, strict=True):
        assert found == name or found.startswith(f"{name}-")
    assert wanted == [] or given_names[0] == wanted[0]


def test_the_stem_of_a_path_is_the_same_wherever_the_corpus_lies() -> None:
    folder = Path("/corpora/mine")
    assert stem_of("a/b.c.wav", folder) == stem_of("/corpora/mine/a/b.c.wav", folder) == "a/b.c"
    assert stem_of("/elsewhere/b.wav", folder) == "/elsewhere/b"


def test_a_file_is_in_the_first_folder_that_has_it(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
    (tmp_path / "b" / "x.wav").touch()
    folders = (tmp_path / "a", tmp_path / "b")
    assert locate("x.wav", *folders) == tmp_path / "b" / "x.wav"
    assert locate("y.wav", *folders) == tmp_path / "a" / "y.wav"
    assert locate(str(tmp_path / "b" / "x.wav"), *folders) == tmp_path / "b" / "x.wav"
    assert locate("n" * 5000, *folders) == tmp_path / "a" / ("n" * 5000)
    assert locate("a\0b", *folders) == tmp_path / "a" / PurePath("a\0b")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('"text"', "not a JSON object"),
        ('[{"a": 1}]', "not a JSON object"),
        ('{"a": 1, "a": 1}', "key stands twice"),
        ('{"a": {"b": "\\udc00"}}', "not Unicode"),
    ],
)
def test_what_is_no_json_object_says_why(line: str, reason: str) -> None:
    with pytest.raises(Fault) as caught:
        json_object(line)
    assert caught.value.reason == reason


def test_json_objects_within_may_be_odd_and_surrogate_pairs_whole() -> None:
    assert json_object('{"a": "\\ud83d\\ude00", "b": {"c": 1, "c": 2}}') == {
        "a": "\U0001f600",
        "b": {"c": 2},
    }


def test_values_are_of_their_type_or_a_fault() -> None:
    row = json_object(
        '{"s": "x", "i": 7, "f": 0.5, "n": null, "b": true, "huge": 1' + 400 * "0" + "}"
    )
    assert [string(row, key) for key in ("s", "i", "n", "none")] == ["x", "7", None, None]
    assert [number(row, key) for key in ("i", "f", "n", "none")] == [7.0, 0.5, None, None]
    assert number(row, "huge") == float("inf")
    for read, key in ((string, "f"), (string, "b"), (number, "s"), (number, "b")):
        with pytest.raises(Fault, match="wrong type"):
            read(row, key)


@pytest.mark.parametrize("name", ["", "a/b", "..", "9" * 65, "a b"])
def test_a_split_has_a_name_that_is_a_file_name(name: str) -> None:
    """A name of 400 characters once ended `prep` with a traceback."""
    assert check_split_name("here", "9" * 64) == "9" * 64
    with pytest.raises(UserError, match=r"^here: found '"):
        check_split_name("here", name)
