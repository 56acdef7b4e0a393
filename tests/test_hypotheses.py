import pytest

from asrbench.base.errors import UserError
from asrbench.scoring.hypotheses import matched, read_transcripts


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def message(call, *args):
    with pytest.raises(UserError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_trn(tmp_path):
    lines = ";; a comment\nGO TO (an4-1)\n (an4-2)\n\nA (B) C (x_3) \r\n"
    assert read_transcripts(write(tmp_path / "h.trn", lines)) == {
        "an4-1": "GO TO",
        "an4-2": "",
        "x_3": "A (B) C",
    }


@pytest.mark.parametrize("suffix", [".tsv", ".txt"])
def test_tsv(tmp_path, suffix):
    path = write(tmp_path / f"h{suffix}", "b\t어제 비가\r\na\t\n")
    assert list(read_transcripts(path).items()) == [("b", "어제 비가"), ("a", "")]


def test_jsonl_by_side(tmp_path):
    row = '{"id": "u", "reference": "yes", "hypothesis": ""}\n'
    path = write(tmp_path / "hypotheses.test.jsonl", row)
    assert read_transcripts(path, "reference") == {"u": "yes"}
    assert read_transcripts(path, "hypothesis") == {"u": ""}


def test_mark_at_start_of_file_is_no_part_of_the_id(tmp_path):
    assert read_transcripts(write(tmp_path / "h.tsv", "a\tx", "utf-8-sig")) == {"a": "x"}


def test_only_a_line_feed_ends_a_line(tmp_path):
    path = write(tmp_path / "h.tsv", "a\tone\u2028two\x85three\n")
    assert read_transcripts(path) == {"a": "one\u2028two\x85three"}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "h.trn",
            "A (a)\nB b\n",
            "line 2: found no id at the end of 'B b', allowed: text (id)",
        ),
        ("h.tsv", "a\tx\nb x\n", "line 2: found 0 tabs in 'b x', allowed: id<TAB>text"),
        ("h.tsv", "a\tx\ty\n", "line 1: found 2 tabs in 'a\\tx\\ty', allowed: id<TAB>text"),
        ("h.txt", "\tx\n", "line 1: found no id before the tab of '\\tx', allowed: id<TAB>text"),
        ("h.trn", "A (a)\n\nB (a)\n", "line 3: found the id 'a' a second time"),
        (
            "h.jsonl",
            '{"id": 3, "hypothesis": ""}',
            "line 1: found no text under 'id', "
            "allowed: an object with the texts 'id' and 'hypothesis'",
        ),
        (
            "h.jsonl",
            '{"id": "a", "reference": ""}',
            "line 1: found no text under 'hypothesis', "
            "allowed: an object with the texts 'id' and 'hypothesis'",
        ),
        (
            "h.jsonl",
            "[1]",
            "line 1: found '[1]', allowed: an object with the texts 'id' and 'hypothesis'",
        ),
    ],
)
def test_line_that_cannot_be_read_is_named(tmp_path, name, text, expected):
    path = write(tmp_path / name, text)
    assert message(read_transcripts, path) == f"{path}, {expected}"


def test_bytes_that_are_no_utf8_are_named(tmp_path):
    path = tmp_path / "h.trn"
    path.write_bytes(b"A (a)\n" + "어제 (b)\n".encode("cp949"))
    assert message(read_transcripts, path) == f"{path}, line 2: not UTF-8; convert the file"


def test_file_that_cannot_be_read(tmp_path):
    path = write(tmp_path / "h.xml", "a,x\n")
    assert message(read_transcripts, path) == (
        f"{path}: found the suffix '.xml', allowed: .trn, .tsv, .txt, .csv, .jsonl, .json, none, "
        f"or a folder"
    )
    empty = write(tmp_path / "h.trn", "\n")
    assert message(read_transcripts, empty) == f"{empty}: found no utterances"
    gone = tmp_path / "gone.trn"
    assert message(read_transcripts, gone) == f"{gone}: no such file"


def test_matched_in_the_order_of_the_reference():
    sides = matched({"b": "B", "a": "A"}, {"a": "x", "b": ""}, "hyp.trn")
    assert sides == (["b", "a"], ["B", "A"], ["", "x"])


def test_ids_that_do_not_match_are_counted_and_named():
    reference = {name: "" for name in "abcdef"}
    assert message(matched, reference, {"a": "", "f": "", "y": ""}, "hyp.trn") == (
        "hyp.trn: found 3 utterances for 6 references: 4 missing (b, c, d, ...), 1 unknown (y)"
    )
