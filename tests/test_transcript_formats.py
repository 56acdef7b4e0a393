"""Each format is read from a small file as its toolkit writes it."""

import json
from pathlib import Path

import pandas as pd
import pytest

from asrbench.base.errors import UserError
from asrbench.scoring.hypotheses import gather, read, read_transcripts


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def message(call, *args) -> str:
    with pytest.raises(UserError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# KoSpeech


@pytest.mark.parametrize("encoding", ["cp949", "utf-8", "utf-8-sig"])
def test_kospeech_csv(tmp_path, encoding):
    """KoSpeech's `save_result` leaves its symbol of start in the targets."""
    results = {
        "targets": ["<sos>어제 비가 왔어요", "<sos>네, 진짜?", "<sos>네"],
        "predictions": ["어제 비가 왓어요", "", "네<pad>"],
    }
    path = tmp_path / "2024_01_02-valid.csv"
    pd.DataFrame(results).to_csv(path, index=False, encoding=encoding)
    found = read(path, "hypothesis")
    assert found.numbered
    assert found.texts == {"1": "어제 비가 왓어요", "2": "", "3": "네"}
    assert list(read_transcripts(path, "reference").values()) == [
        "어제 비가 왔어요",
        "네, 진짜?",
        "네",
    ]


def test_csv_with_other_names_an_index_and_ids(tmp_path):
    path = write(tmp_path / "r.csv", ",Audio,Reference,Prediction\n0,a,x y,x\n1,b,,z\n")
    assert read(path).texts == {"a": "x", "b": "z"}
    assert not read(path).numbered
    assert read_transcripts(path, "reference") == {"a": "x y", "b": ""}


def test_csv_that_cannot_be_read(tmp_path):
    path = write(tmp_path / "r.csv", "a,x\n1,2\n")
    assert message(read, path) == (
        f"{path}: found the columns a, x; for the hypothesis allowed: predictions, prediction, "
        "predicts, hypotheses, hypothesis, hyp, pred, pred_text"
    )
    write(path, "targets,predictions\na,b\na,b,c\n")
    assert message(read, path) == f"{path}, line 3: found 3 cells under 2 columns"
    path.write_bytes(b"targets,predictions\na,b\n\xff\xff,b\n")
    assert message(read, path) == f"{path}, line 3: not UTF-8; convert the file"
    write(path, "")
    assert message(read, path).startswith(f"{path}: found the columns none;")
    gone = tmp_path / "gone.csv"
    assert message(read, gone) == f"{gone}: no such file"


# ESPnet


@pytest.mark.parametrize("name", ["text", "text.txt"])
def test_espnet_text(tmp_path, name):
    path = write(tmp_path / name, "fash-an251 GO TO  IT\nfash-an253\n\nmenk-x \n")
    assert read_transcripts(path) == {"fash-an251": "GO TO  IT", "fash-an253": "", "menk-x": ""}


def test_one_tab_makes_it_a_tsv(tmp_path):
    path = write(tmp_path / "h.txt", "a b\tone\nc two\n")
    assert message(read, path) == f"{path}, line 2: found 0 tabs in 'c two', allowed: id<TAB>text"


def test_espnet_trn_of_words(tmp_path):
    path = write(tmp_path / "hyp.trn", "GO TO\t(fash-fash-an251)\n\t(fash-fash-an253)\n")
    assert read_transcripts(path) == {"fash-fash-an251": "GO TO", "fash-fash-an253": ""}


@pytest.mark.parametrize("key", ["reference", "hypothesis"])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("i've { um / uh / @ } as far as i'm concerned", "{ um / uh / @ }"),
        ("a { b / { c d / @ } e }", "{ b / { c d / @ }"),
        ("{um / uh} yes", "{um / uh}"),
        ("a { b", "{ b"),
        ("{ " + "very " * 20 + "/ @ }", "{ very very very very very very very ver..."),
    ],
)
def test_an_alternation_of_sclite_is_refused(tmp_path, key, text, found):
    """SCTK, doc/infmts.htm: `ALTERNATE :== "{" TEXT ALT+ "}"`, which its parser knows by a brace at
    the beginning of a word. Its slash and braces are no words."""
    path = write(tmp_path / "ref.trn", f"yes (u1)\n{text} (u2)\n")
    assert message(read, path, key) == (
        f"{path}, line 2: found the alternation '{found}', which asrbench cannot score as sclite "
        f"does; leave one of its alternatives in the text"
    )


def test_a_brace_within_a_word_and_other_formats_are_text(tmp_path):
    path = write(tmp_path / "ref.trn", "a{b} c} / @ (u1)\n")
    assert read(path).texts == {"u1": "a{b} c} / @"}
    path = write(tmp_path / "text", "u1 a { b / c }\n")
    assert read(path).texts == {"u1": "a { b / c }"}


def test_espnet_trn_of_characters_and_of_subwords_is_joined(tmp_path):
    """Otherwise a CER would count the spaces between tokens."""
    path = write(tmp_path / "c.trn", "G O <space> T O\t(a)\nI T\t(b)\n")
    assert read_transcripts(path) == {"a": "GO TO", "b": "IT"}
    path = write(tmp_path / "t.trn", "▁G O ▁TO\t(a)\n▁IT\t(b)\n")
    assert read_transcripts(path) == {"a": "GO TO", "b": "IT"}


# NeMo


def nemo(path: Path, *rows: dict) -> Path:
    return write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def test_nemo_manifest_with_predictions(tmp_path):
    rows = [
        {"audio_filepath": "/d/a.wav", "duration": 1.5, "text": "네", "pred_text": "내"},
        {"audio_filepath": "/d/b.wav", "offset": 61.2, "text": "x", "pred_text": ""},
    ]
    for name in ("out.json", "out.jsonl"):
        path = nemo(tmp_path / name, *rows)
        assert read_transcripts(path) == {"a": "내", "b-00061.200": ""}
        assert read_transcripts(path, "reference") == {"a": "네", "b-00061.200": "x"}
    one = nemo(tmp_path / "one.json", rows[0])
    assert read_transcripts(one) == {"a": "내"}
    listed = write(tmp_path / "list.json", json.dumps(rows))
    assert read_transcripts(listed) == {"a": "내", "b-00061.200": ""}


def test_nemo_audio_of_one_name_in_two_folders(tmp_path):
    rows = [{"audio_filepath": f"{folder}/a.wav", "pred_text": folder} for folder in "xy"]
    assert read_transcripts(nemo(tmp_path / "h.json", *rows)) == {"x/a": "x", "y/a": "y"}


def test_nemo_without_predictions(tmp_path):
    path = nemo(tmp_path / "h.json", {"audio_filepath": "a.wav", "text": "x"})
    assert message(read, path) == (
        f"{path}, line 1: found no text under 'pred_text', allowed: an object with the texts "
        f"'audio_filepath' and 'pred_text'"
    )


# Whisper


def test_whisper(tmp_path):
    document = {"text": " 어제 비가", "segments": [{"text": " 어제 비가"}], "language": "ko"}
    write(tmp_path / "w/u1.json", json.dumps(document))
    # WhisperX writes text in segments only.
    parts = {"segments": [{"text": " go"}, {"text": "to "}], "word_segments": []}
    write(tmp_path / "w/u2.json", json.dumps(parts))
    assert read_transcripts(tmp_path / "w/u1.json") == {"u1": "어제 비가"}
    assert read_transcripts(tmp_path / "w") == {"u1": "어제 비가", "u2": "go to"}


def test_folder_without_whisper_documents(tmp_path):
    assert message(read, tmp_path) == (
        f"{tmp_path}: found a folder without .json files, allowed: a folder of Whisper's JSON, or "
        f"a file"
    )
    path = write(tmp_path / "a.json", '{"cer": 0.1}')
    assert message(read, tmp_path) == (
        f"{path}: found neither 'text' nor 'segments', allowed: Whisper's JSON with either"
    )


# Several files


def test_references_come_with_the_hypotheses(tmp_path):
    one = write(tmp_path / "a.csv", "targets,predictions\nab,ab\ncd,c\n", "cp949")
    two = write(tmp_path / "b.csv", "targets,predictions\nab,\ncd,cd\n")
    found = gather(None, {"a": [one], "b": [two]}, "verbatim")
    assert (found.source, found.references) == (one, {"1": "ab", "2": "cd"})
    assert found.systems == {"a": [["ab", "c"]], "b": [["", "cd"]]}
    assert found.notes == []


def test_rows_in_another_order_are_refused(tmp_path):
    """Without ids only the references identify utterances."""
    one = write(tmp_path / "a.csv", "targets,predictions\nab,ab\ncd,c\n")
    two = write(tmp_path / "b.csv", "targets,predictions\ncd,cd\nab,\n")
    assert message(gather, None, {"a": [one], "b": [two]}, "verbatim") == (
        f"{two}: found the reference 'cd' for utterance 1, where {one} has 'ab'; the files hold "
        f"other utterances or another order"
    )


def test_no_ids_on_one_side_is_matched_by_order_and_told(tmp_path):
    ref = write(tmp_path / "ref.trn", "어제 왔어요 (u2)\n네 (u1)\n")
    csv = write(tmp_path / "a.csv", "targets,predictions\n어제 왔어,어제\n네,네\n", "cp949")
    found = gather(ref, {"a": [csv]}, "verbatim")
    assert found.references == {"u2": "어제 왔어요", "u1": "네"}
    assert found.systems == {"a": [["어제", "네"]]}
    assert found.notes == [
        f"{csv}: matched with ref.trn by the order of rows",
        f"{csv}: 1 of its 2 references differ from those of {ref}, which are scored against (u2)",
    ]
    short = write(tmp_path / "s.csv", "targets,predictions\n네,네\n")
    assert message(gather, ref, {"a": [short]}, "verbatim") == (
        f"{short}: found 1 utterances for 2 references; {short} has no ids, so both must have "
        f"the same utterances in the same order"
    )


def test_ids_of_a_second_seed_that_differ_are_named(tmp_path):
    ref = write(tmp_path / "ref.trn", "a (u1)\nb (u2)\n")
    one = write(tmp_path / "1.tsv", "u2\tb\nu1\ta\n")
    two = write(tmp_path / "2.tsv", "u1\ta\nx\tb\n")
    assert gather(ref, {"a": [one]}, "verbatim").systems == {"a": [["a", "b"]]}
    assert message(gather, ref, {"a": [one, two]}, "verbatim") == (
        f"{two}: found 2 utterances for 2 references: 1 missing (u2), 1 unknown (x)"
    )


def test_no_references_anywhere(tmp_path):
    path = write(tmp_path / "h.trn", "a (u1)\n")
    assert message(gather, None, {"a": [path]}, "verbatim") == (
        f"--ref: found none, and no references in {path}; name a file that holds them"
    )


def test_a_long_line_of_spaces_in_a_trn_is_read_in_linear_time(tmp_path):
    """With a pattern that backtracks, 200,000 spaces took a minute and this line takes an hour."""
    line = "a" + 2_000_000 * " " + "b"
    path = write(tmp_path / "hyp.trn", f"{line} (u1)\n")
    assert read_transcripts(path)["u1"].split() == ["a", "b"]
    assert "line 1: found no id at the end" in message(read_transcripts, write(path, line))
