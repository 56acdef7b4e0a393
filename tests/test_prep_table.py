import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from doors import preparer

from asrbench.base.errors import UserError
from asrbench.cli.prep_report import print_corpus
from asrbench.data.corpus import Corpus
from asrbench.data.waveform import Samples

prepare = preparer("table")


def sound(name: str) -> Samples:
    return np.random.default_rng(list(name.encode())).integers(-9000, 9000, 800).astype(np.int16)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Makes a folder of six sound files, a.wav to f.wav."""
    home = tmp_path / "toy"
    home.mkdir()
    for name in "abcdef":
        soundfile.write(home / f"{name}.wav", sound(name), 16_000)
    return home


def put(home: Path, name: str, *lines: str) -> Path:
    path = home / name
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


def prepared(table: Path, **options: Any) -> Corpus:
    prepare(table, table.parent.parent / "out", **options)
    return Corpus.open(table.parent.parent / "out")


def rejected(corpus: Corpus) -> list[tuple[str, str, str, str]]:
    lines = (corpus.folder / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, str]] = [json.loads(line) for line in lines]
    return [(row["id"], row["split"], row["reason"], row["detail"]) for row in rows]


def refused(table: Path, **options: Any) -> str:
    """Returns the line of the `UserError`. Asserts that nothing is left behind."""
    before = sorted(table.parent.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        prepared(table, **options)
    assert sorted(table.parent.parent.rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def utterances_of(corpus: Corpus) -> dict[str, list[tuple[str, str, str | None]]]:
    """Returns (id, text, speaker) of every utterance, by split."""
    return {
        name: list(zip(split.ids, split.texts, split.column("speaker"), strict=True))
        for name in corpus.split_names
        for split in [corpus.split(name)]
    }


ROWS = [
    ("u2", "a.wav", "s1", "train", "하나 둘"),
    ("u1", "b.wav", "s2", "train", "셋"),
    ("u3", "c.wav", "", "dev", "넷"),
]


def test_three_formats_are_one_corpus(home: Path, tmp_path: Path) -> None:
    names = ("id", "audio", "speaker", "split", "text")
    tables = [
        put(home, "t.tsv", *("\t".join(row) for row in [names, *ROWS])),
        put(home, "t.csv", *(",".join(row) for row in [names, *ROWS])),
        put(home, "t.jsonl", *(json.dumps(dict(zip(names, r, strict=True))) for r in ROWS)),
    ]
    fingerprints = set()
    for table in tables:
        prepare(table, tmp_path / table.suffix)
        corpus = Corpus.open(tmp_path / table.suffix)
        assert utterances_of(corpus) == {
            "dev": [("u3", "넷", None)],
            "train": [("u1", "셋", "s2"), ("u2", "하나 둘", "s1")],
        }
        np.testing.assert_array_equal(corpus.split("train").audio(1), sound("a"))
        assert corpus.name == "toy"
        assert corpus.text_profile == "verbatim"
        assert rejected(corpus) == []
        fingerprints.add(corpus.fingerprint)
    assert len(fingerprints) == 1


def test_quotes_in_tsv_are_text(home: Path) -> None:
    table = put(home, "t.tsv", "audio\ttext", 'a.wav\t"Yes, he said', 'b.wav\tso ""so"" "')
    assert prepared(table).split("train").texts == ['"Yes, he said', 'so ""so"" "']


def test_quoted_commas_and_line_breaks_in_csv_are_text(home: Path) -> None:
    table = put(
        home,
        "t.csv",
        "audio,text,id",
        'a.wav,"yes, ""he"" said",u1',
        '"b.wav","two\r\nlines",u2',
        "c.wav,plain,u3,more",
    )
    corpus = prepared(table)
    assert corpus.split("train").texts == ['yes, "he" said', "two lines"]
    assert corpus.split("train").column("raw") == ['yes, "he" said', "two\r\nlines"]
    # The row after the line break has the number an editor shows.
    assert rejected(corpus) == [
        ("", "", "wrong field count", "t.csv, line 5: 4 fields, the first line has 3")
    ]


def test_rows_with_other_field_counts_are_never_shifted(home: Path) -> None:
    table = put(
        home,
        "t.tsv",
        "id\taudio\ttext\tspeaker",
        "u1\ta.wav\ttwo\twords\ts1",  # a tab in the text
        "u2\tb.wav\tyes",
        "",
        "u3\tc.wav\tno\ts1",
    )
    corpus = prepared(table)
    assert utterances_of(corpus) == {"train": [("u3", "no", "s1")]}
    assert rejected(corpus) == [
        ("", "", "wrong field count", "t.tsv, line 2: 5 fields, the first line has 4"),
        ("", "", "wrong field count", "t.tsv, line 3: 3 fields, the first line has 4"),
    ]


@pytest.mark.parametrize("suffix", ["tsv", "csv", "jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(home: Path, suffix: str) -> None:
    lines = {"tsv": "audio\ttext\r\na.wav\tyes\r\n", "csv": "audio,text\r\na.wav,yes\r\n"}
    text = lines.get(suffix, '{"audio": "a.wav", "text": "yes"}\r\n')
    table = home / f"t.{suffix}"
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    corpus = prepared(table)
    assert utterances_of(corpus) == {"train": [("a", "yes", None)]}
    assert corpus.split("train").column("raw") == ["yes"]


def test_text_is_normalised_and_raw_is_kept(home: Path) -> None:
    raw = unicodedata.normalize("NFD", "  각\u3000조 ")
    split = prepared(put(home, "t.tsv", "audio\ttext", f"a.wav\t{raw}")).split("train")
    assert split.texts == ["각 조"]
    assert split.column("raw") == [raw]


def test_line_separators_inside_a_cell_do_not_end_the_row(home: Path) -> None:
    """U+2028 and U+0085 end a line for `str.splitlines`, but not in a table."""
    corpus = prepared(put(home, "t.tsv", "audio\ttext", "a.wav\tone\u2028two\x85three"))
    assert corpus.split("train").texts == ["one two three"]


def test_bad_rows_are_listed_with_their_line(home: Path) -> None:
    soundfile.write(home / "stereo.wav", np.zeros((100, 2)), 16_000)
    soundfile.write(home / "zero.wav", np.zeros(0, np.int16), 16_000)
    (home / "garbage.wav").write_bytes(b"garbage" * 99)
    (home / "empty.wav").touch()
    table = put(
        home,
        "t.tsv",
        "id\taudio\tsplit\ttext",
        "u1\ta.wav\ttrain\tyes",
        "u1\tb.wav\ttrain\tagain",
        "\tb.wav\ttrain\tno id",
        "u3\t \ttrain\tno audio",
        "u4\tb.wav\ttrain\t \u3000",
        "u5\tb.wav\ta/b\tno such name",
        "u6\tstereo.wav\ttrain\ttwo",
        "u7\tzero.wav\ttrain\tnothing",
        "u8\tgarbage.wav\ttrain\tnoise",
        "u9\tempty.wav\ttrain\tnothing",
        "v1\tnone.wav\ttrain\tnothing",
        "v2\tc.wav\t\tblank split",
    )
    message = refused(table, strict=True)
    assert message.startswith(f"{table}: 11 utterances rejected (1 duplicate id, 1 no id, ")
    corpus = prepared(table)
    assert utterances_of(corpus) == {"train": [("u1", "yes", None)]}
    found = rejected(corpus)
    garbage = found.pop(next(i for i, row in enumerate(found) if row[0] == "u8"))
    assert garbage[:3] == ("u8", "train", "unreadable")
    assert garbage[3].startswith(f"{home / 'garbage.wav'}: ")
    assert found == [
        ("u1", "train", "duplicate id", "t.tsv, line 3"),
        ("", "train", "no id", "t.tsv, line 4"),
        ("u3", "train", "no audio path", "t.tsv, line 5"),
        ("u4", "train", "text empty after normalisation", "t.tsv, line 6: ' \\u3000'"),
        (
            "u5",
            "a/b",
            "split name",
            "t.tsv, line 7: found 'a/b', allowed: up to 64 letters, digits, '_' and '-'",
        ),
        ("v2", "", "no split", "blank, while other rows have one"),
        ("u6", "train", "wrong channel count", f"{home / 'stereo.wav'}: 2 channels"),
        ("u7", "train", "zero samples", str(home / "zero.wav")),
        ("u9", "train", "empty file", str(home / "empty.wav")),
        ("v1", "train", "missing", str(home / "none.wav")),
    ]


def test_bad_json_lines_are_listed(home: Path) -> None:
    table = put(
        home,
        "t.jsonl",
        '{"audio": "a.wav", "text": "yes", "id": 7, "speaker": null, "extra": [1, {"a": 2}]}',
        '{"audio": "b.wav", "text": "cut',
        '["b.wav", "yes"]',
        '{"audio": "b.wav", "text": "yes", "text": "no", "id": 8}',
        '{"audio": "b.wav", "id": 9}',
        '{"audio": "b.wav", "text": 3.0, "id": 10}',
        '{"audio": "b.wav", "text": "\\ud800", "id": 11}',
        '{"audio": "b.wav", "text": "no", "id": 12, "speaker": 3.0}',  # not: speaker unknown
        '{"audio": "b.wav", "text": "no", "id": true}',
    )
    corpus = prepared(table)
    assert utterances_of(corpus) == {"train": [("7", "yes", None)]}
    assert [(id, reason, detail.split(":")[0]) for id, _, reason, detail in rejected(corpus)] == [
        ("", "not JSON", "t.jsonl, line 2"),
        ("", "not a JSON object", "t.jsonl, line 3"),
        ("", "key stands twice", "t.jsonl, line 4"),
        ("9", "missing field", "t.jsonl, line 5"),
        ("10", "wrong type", "t.jsonl, line 6"),
        ("", "not Unicode", "t.jsonl, line 7"),
        ("12", "wrong type", "t.jsonl, line 8"),
        ("", "wrong type", "t.jsonl, line 9"),
    ]


def test_a_bad_row_does_not_take_the_id_of_a_good_one(home: Path) -> None:
    table = put(home, "t.tsv", "id\taudio\ttext", "u1\ta.wav\t", "u1\tb.wav\tyes")
    assert utterances_of(prepared(table)) == {"train": [("u1", "yes", None)]}


def test_without_ids_the_audio_path_is_the_id(home: Path) -> None:
    (home / "deep").mkdir()
    soundfile.write(home / "deep" / "x.y.flac", sound("x"), 16_000)
    soundfile.write(home / "a.flac", sound("g"), 16_000)
    table = put(
        home,
        "t.tsv",
        "file\tsentence",
        "deep/x.y.flac\tdeep",
        "a.wav\tfirst",
        "a.flac\tsecond",
        "a.wav\tthird",
        f"{home / 'b.wav'}\tabsolute",
    )
    corpus = prepared(table)
    assert utterances_of(corpus)["train"] == [
        ("a", "first", None),
        ("a-2", "second", None),
        ("a-3", "third", None),
        ("b", "absolute", None),
        ("deep/x.y", "deep", None),
    ]
    np.testing.assert_array_equal(corpus.split("train").audio(1), sound("g"))


def test_split_names_of_the_field_are_dev(home: Path) -> None:
    names = ["valid", "Validation", "development", "val", "test-clean", "train"]
    rows = [f"{a}.wav\t{name}\tyes" for a, name in zip("abcdef", names, strict=True)]
    corpus = prepared(put(home, "t.tsv", "path\tsubset\ttranscript", *rows))
    assert {name: corpus.split(name).ids for name in corpus.split_names} == {
        "dev": ["a", "b", "c", "d"],
        "test-clean": ["e"],
        "train": ["f"],
    }


def test_named_columns_come_before_the_usual_ones(home: Path) -> None:
    table = put(
        home, "t.tsv", "text\tshown\tfile\tsound\tkey\tid", "no\tyes\tnone.wav\ta.wav\tk\tu"
    )
    corpus = prepared(table, text="shown", audio="sound", id="key", name="n")
    assert utterances_of(corpus) == {"train": [("k", "yes", None)]}
    assert corpus.name == "n"


def test_a_named_column_that_is_absent(home: Path) -> None:
    table = put(home, "t.tsv", "audio\ttext\tspeaker", "a.wav\tyes\ts")
    assert refused(table, speaker="speakr") == (
        f"{table}: speaker column: found 'speakr', allowed: audio, text, speaker; "
        f"did you mean 'speaker'?"
    )


def test_a_needed_column_that_is_absent(home: Path) -> None:
    table = put(home, "t.tsv", "a.wav\tyes", "b.wav\tno")
    assert refused(table) == (
        f"{table}: audio column: found none of audio, path, audio_path, audio_filepath, file; "
        f"the table has a.wav, yes; name it with --audio"
    )


@pytest.mark.parametrize(
    ("name", "header", "found", "remedy"),
    [
        ("t.tsv", "audio,text", "1 comma, and a .tsv is separated by tabs", "name the file .csv"),
        (
            "t.csv",
            "audio\ttext\tid",
            "2 tabs, and a .csv is separated by commas",
            "name the file .tsv",
        ),
        (
            "t.csv",
            "audio;text",
            "1 semicolon, and a .csv is separated by commas",
            "write commas or tabs instead",
        ),
    ],
)
def test_another_separator_is_hinted_at(
    name: str, header: str, found: str, remedy: str, home: Path
) -> None:
    table = put(home, name, header, "a.wav yes")
    assert refused(table) == f"{table}: found one column, whose name holds {found}; {remedy}"


def test_tables_that_cannot_be_read(home: Path) -> None:
    assert refused(home / "none.tsv") == (f"{home / 'none.tsv'}: no such file")
    assert refused(put(home, "t.xlsx", "x")) == (
        f"{home / 't.xlsx'}: format: found '.xlsx', allowed: .tsv, .csv, .jsonl"
    )
    assert "no rows" in refused(put(home, "t.tsv"))
    assert "no rows" in refused(put(home, "t.tsv", "audio\ttext"))
    assert "no rows" in refused(put(home, "t.jsonl", ""))
    assert refused(put(home, "t.tsv", "audio\ttext\ttext", "a\tb\tc")) == (
        f"{home / 't.tsv'}: column 'text' occurs twice in the first line; rename one"
    )
    (home / "t.tsv").write_bytes(
        "audio\ttext\na.wav\t좋다\nb.wav\t".encode() + "예".encode("cp949")
    )
    assert refused(home / "t.tsv") == f"{home / 't.tsv'}, line 3: not UTF-8; convert the file"
    message = refused(put(home, "t.csv", "audio,text", 'a.wav,"yes', "b.wav,no"))
    assert message.startswith(f"{home / 't.csv'}, line 2: not CSV (")


def test_a_korean_table_of_windows_is_read_and_said_to_be(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["audio,text", "a.wav,안녕하세요", "b.wav,반갑습니다"]
    (home / "t.csv").write_bytes("\r\n".join(rows).encode("cp949"))
    corpus = prepared(home / "t.csv")
    assert corpus.split("train").texts == ["안녕하세요", "반갑습니다"]
    print_corpus(corpus.folder)
    assert "t.csv is not UTF-8 and was read as cp949, because all" in capsys.readouterr().out


def test_a_table_of_nothing_usable_leaves_nothing(home: Path) -> None:
    table = put(home, "t.tsv", "audio\ttext", "a.wav\t", "none.wav\tyes")
    expected = "no usable utterance (rejected: 1 text empty after normalisation, 1 missing)"
    assert refused(table) == f"{table}: {expected}; the first: t.tsv, line 2: ''"
    assert refused(put(home, "t.tsv", "audio\ttext", "a.wav\t"), dev=1, split="0.8/0.1/0.1")


def test_the_order_of_rows_does_not_matter(home: Path, tmp_path: Path) -> None:
    rows = [f"{name}.wav\ts{name}\tsay {name}" for name in "abcdef"]
    prints = set()
    for i, order in enumerate((rows, rows[::-1], rows[3:] + rows[:3])):
        table = put(home, f"t{i}.tsv", "audio\tspeaker\ttext", *order)
        prepare(table, tmp_path / str(i), split="0.6/0.2/0.2", seed=4)
        prints.add(Corpus.open(tmp_path / str(i)).fingerprint)
    assert len(prints) == 1


def twelve(home: Path, marks: Sequence[str]) -> Path:
    """Makes a table of six speakers with two utterances each; two speakers say 'same'."""
    texts = [f"text {i}" for i in range(8)] + ["same", "ten", "same", "twelve"]
    rows = [
        f"u{i:02d}\t{'abcdef'[i // 2]}.wav\ts{i // 2}\t{marks[i % len(marks)]}\t{text}"
        for i, text in enumerate(texts)
    ]
    return put(home, "t.tsv", "id\taudio\tspeaker\tsplit\ttext", *rows)


def test_splits_on_request_share_nothing(home: Path, tmp_path: Path) -> None:
    table = twelve(home, [""])
    lost = 0
    for seed in range(6):
        out = tmp_path / str(seed)
        prepare(table, out, split="0.6/0.2/0.2", seed=seed, strict=True)
        corpus = Corpus.open(out)
        found = utterances_of(corpus)
        assert found.keys() == {"train", "dev", "test"}
        for column in (1, 2):
            values = [{row[column] for row in rows} for rows in found.values()]
            assert sum(map(len, values)) == len(set.union(*values))
        assert sum(map(len, found.values())) + len(rejected(corpus)) == 12
        for id, split, reason, detail in rejected(corpus):
            lost += 1
            assert id in ("u08", "u10")
            assert reason == "text or speaker shared between splits"
            assert detail.startswith(f"its speaker is in {split}, its text in ")
    assert lost > 0


def test_everything_is_train_and_dev_comes_from_it(home: Path, tmp_path: Path) -> None:
    prepare(twelve(home, [""]), tmp_path / "whole")
    assert len(Corpus.open(tmp_path / "whole").split("train")) == 12
    corpus = prepared(twelve(home, [""]), dev=4)
    assert {name: len(corpus.split(name)) for name in corpus.split_names} == {
        "dev": 4,
        "train": 8,
    }
    speakers = [set(corpus.split(name).column("speaker")) for name in corpus.split_names]
    assert not speakers[0] & speakers[1]


def test_contradictions_are_errors(home: Path) -> None:
    assert refused(twelve(home, ["train", ""]), split="0.6/0.2/0.2") == (
        f"{home / 't.tsv'}: --split: 6 rows already are in train; leave --split out, or blank "
        f"the split column"
    )
    assert refused(twelve(home, ["train", "dev"]), dev=2) == (
        "--dev: found 2, but the corpus has a dev split of 6 utterances; leave --dev out to keep it"
    )
    assert refused(twelve(home, [""]), dev=2, split="0.6/0.2/0.2").startswith("--dev: found 2, ")
    assert refused(twelve(home, ["test"]), dev=2) == (
        "--dev: found 2, but train has 0 utterances to take it from"
    )
    assert refused(twelve(home, [""]), split="0.6/0.6/0.2").startswith("--split: found 0.6/0.6/0.2")
