from pathlib import Path

import numpy as np
import pytest
from doors import (
    about,
    assert_same_for_any_jobs,
    audio,
    column,
    error,
    everything,
    like_windows,
    preparer,
    put,
    put_sound,
    reasons,
    refused,
    rejected,
    run,
    sound,
    texts,
)

from asrbench.base.errors import UserError
from asrbench.data.audio import read_audio

prepare = preparer("kaldi")

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Makes a data folder without segments: two recordings, absolute and relative to the folder."""
    data = tmp_path / "data"
    put_sound(tmp_path / "elsewhere" / "a.wav", sound("a"))
    put_sound(data / "wavs" / "b c.flac", sound("b"))
    put(data / "wav.scp", f"u1 {tmp_path / 'elsewhere' / 'a.wav'}", "u2 wavs/b c.flac")
    put(data / "text", "u1 HELLO THERE", "u2\tone  two\tthree ")
    put(data / "utt2spk", "u1 ada", "u2 bob")
    put(data / "spk2utt", "ada u1", "bob u2")
    return data


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """Makes a data folder with segments: two recordings of 2 s and of 1 s."""
    data = tmp_path / "data"
    put_sound(data / "r1.wav", sound("r1", 32_000))
    put_sound(data / "r2.flac", sound("r2", 16_000))
    put(data / "wav.scp", "r1 r1.wav", "r2 r2.flac")
    put(data / "segments", "r1-1 r1 0.25 0.75", "r1-2 r1 1.5 -1", "r2-1 r2 0 1.0")
    put(data / "text", "r1-1 one", "r1-2 two", "r2-1 three")
    put(data / "utt2spk", "r1-1 ada", "r1-2 bob", "r2-1 ada")
    return data


def append(path: Path, *lines: str) -> None:
    put(path, *path.read_text(encoding="utf-8").splitlines(), *lines)


def test_a_data_folder_becomes_a_corpus(plain: Path, tmp_path: Path) -> None:
    prepare(plain, tmp_path / "out", strict=True)
    assert texts(tmp_path / "out") == {"train": {"u1": "HELLO THERE", "u2": "one two three"}}
    assert column(tmp_path / "out", "train", "speaker") == {"u1": "ada", "u2": "bob"}
    assert column(tmp_path / "out", "train", "raw")["u2"] == "one  two\tthree "
    assert column(tmp_path / "out", "train", "channel") == {"u1": None, "u2": None}
    found = audio(tmp_path / "out", "train")
    np.testing.assert_array_equal(found["u1"], sound("a"))
    np.testing.assert_array_equal(found["u2"], sound("b"))
    assert rejected(tmp_path / "out") == []
    assert about(tmp_path / "out")["name"] == "data"


def test_segments_are_cut_sample_for_sample(cut: Path, tmp_path: Path) -> None:
    prepare(cut, tmp_path / "out", strict=True)
    assert texts(tmp_path / "out") == {"train": {"r1-1": "one", "r1-2": "two", "r2-1": "three"}}
    found = audio(tmp_path / "out", "train")
    np.testing.assert_array_equal(found["r1-1"], sound("r1", 32_000)[4_000:12_000])
    np.testing.assert_array_equal(found["r1-2"], sound("r1", 32_000)[24_000:])
    np.testing.assert_array_equal(found["r2-1"], sound("r2", 16_000))


def test_paths_are_relative_to_where_asrbench_runs_first(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put_sound(tmp_path / "wavs" / "b c.flac", sound("here"))
    prepare(plain, tmp_path / "out")
    np.testing.assert_array_equal(audio(tmp_path / "out", "train")["u2"], sound("here"))


def test_folders_of_splits(plain: Path, tmp_path: Path) -> None:
    source = tmp_path / "folders"
    for number, (folder, split) in enumerate(
        {"train": "train", "valid": "dev", "eval": "test", "train_sp": ""}.items()
    ):
        put(source / folder / "wav.scp", f"u{number} {tmp_path / 'elsewhere' / 'a.wav'}")
        put(source / folder / "text", f"u{number} this is {split}")
    put(source / "local" / "dict" / "lexicon.txt", "a a")
    prepare(source, tmp_path / "out", strict=True)
    assert texts(tmp_path / "out") == {
        "train": {"u0": "this is train"},
        "dev": {"u1": "this is dev"},
        "test": {"u2": "this is test"},
    }
    assert column(tmp_path / "out", "train", "speaker") == {"u0": None}
    assert rejected(tmp_path / "out") == [
        ("", "", "data folder that is no split", str(source / "train_sp"))
    ]


def test_the_split_of_a_single_folder_can_be_named(plain: Path, tmp_path: Path) -> None:
    prepare(plain, tmp_path / "out", split_name="eval_clean", name="mine")
    assert list(texts(tmp_path / "out")) == ["eval_clean"]
    assert about(tmp_path / "out")["name"] == "mine"


def test_dev_takes_whole_speakers(cut: Path, tmp_path: Path) -> None:
    prepare(cut, tmp_path / "out", dev=1)
    assert column(tmp_path / "out", "dev", "speaker") == {"r1-2": "bob"}
    assert set(column(tmp_path / "out", "train", "speaker").values()) == {"ada"}


def test_the_side_of_a_call_is_its_channel(tmp_path: Path) -> None:
    """The sides are in one file with two names, or in files of their own."""
    data = tmp_path / "data"
    left, right = sound("left", 16_000), sound("right", 16_000)
    put_sound(data / "call.wav", np.stack([left, right], 1))
    put_sound(data / "alone.wav", sound("alone", 16_000))
    put(data / "wav.scp", "c-a call.wav", "c-b call.wav", "d-b alone.wav")
    put(data / "reco2file_and_channel", "c-a call A", "c-b call B", "d-b alone B")
    put(data / "segments", "c-a-1 c-a 0.1 0.2", "c-b-1 c-b 0.1 0.2", "d-b-1 d-b 0.1 0.2")
    put(data / "text", "c-a-1 one", "c-b-1 two", "d-b-1 three")
    prepare(data, tmp_path / "out", strict=True)
    assert column(tmp_path / "out", "train", "channel") == {
        "c-a-1": "A",
        "c-b-1": "B",
        "d-b-1": "B",
    }
    found = audio(tmp_path / "out", "train")
    np.testing.assert_array_equal(found["c-a-1"], left[1600:3200])
    np.testing.assert_array_equal(found["c-b-1"], right[1600:3200])
    np.testing.assert_array_equal(found["d-b-1"], sound("alone", 16_000)[1600:3200])


def test_channels_in_numbers(tmp_path: Path) -> None:
    """reco2file_and_channel counts from 1, the fifth column of segments from 0."""
    data = tmp_path / "data"
    left, right = sound("left", 16_000), sound("right", 16_000)
    put_sound(data / "call.wav", np.stack([left, right], 1))
    put(data / "wav.scp", "c call.wav", "d call.wav", "e call.wav")
    put(data / "reco2file_and_channel", "c call 2", "e call 0")
    put(
        data / "segments",
        "u1 c 0.1 0.2",
        "u2 d 0.1 0.2 1",
        "u3 c 0.1 0.2 0",
        "u4 d 0.1 0.2 2",
        "u5 d 0.1 0.2",
        "u6 d 0.1 0.2 A",
        "u7 e 0.1 0.2",
    )
    put(data / "text", *(f"u{number} text" for number in range(1, 8)))
    prepare(data, tmp_path / "out")
    found = audio(tmp_path / "out", "train")
    assert sorted(found) == ["u1", "u2", "u3"]
    np.testing.assert_array_equal(found["u1"], right[1600:3200])
    np.testing.assert_array_equal(found["u2"], right[1600:3200])
    np.testing.assert_array_equal(found["u3"], left[1600:3200])
    assert column(tmp_path / "out", "train", "channel") == {"u1": "2", "u2": "1", "u3": "0"}
    assert rejected(tmp_path / "out") == [
        ("u6", "train", "channel", "data/segments, line 6: found 'A', allowed: 0, 1 and on"),
        (
            "u7",
            "train",
            "channel",
            "data/segments, line 7: found '0', allowed: A, B and on, or 1, 2 and on",
        ),
        ("u4", "train", "no such channel", f"{data / 'call.wav'}: 3 of 2"),
        ("u5", "train", "wrong channel count", f"{data / 'call.wav'}: 2 channels"),
    ]


def test_language_and_a_missing_speaker(plain: Path, tmp_path: Path) -> None:
    put(plain / "utt2spk", "u1 ada")
    put(plain / "utt2lang", "u1 ko", "u2 en")
    prepare(plain, tmp_path / "out", strict=True)
    assert column(tmp_path / "out", "train", "language") == {"u1": "ko", "u2": "en"}
    assert column(tmp_path / "out", "train", "speaker") == {"u1": "ada", "u2": None}
    assert about(tmp_path / "out")["remarks"] == {"no speaker in utt2spk": 1}


def test_ids_of_any_script(tmp_path: Path) -> None:
    data = tmp_path / "data"
    put_sound(data / "소리.wav", sound("a"))
    put(data / "wav.scp", "화자-가 소리.wav")
    put(data / "text", "화자-가 안녕\u2028하세요")
    put(data / "utt2spk", "화자-가 화자")
    prepare(data, tmp_path / "out", strict=True)
    assert texts(tmp_path / "out") == {"train": {"화자-가": "안녕 하세요"}}
    assert column(tmp_path / "out", "train", "speaker") == {"화자-가": "화자"}


def test_windows_line_ends_and_blank_lines(cut: Path, tmp_path: Path) -> None:
    prepare(cut, tmp_path / "a")
    for name in ("wav.scp", "text", "utt2spk", "segments"):
        like_windows(cut / name)
    prepare(cut, tmp_path / "b")
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


def test_pipes_and_archives_are_never_opened(plain: Path, tmp_path: Path) -> None:
    command = f"touch {tmp_path / 'ran'}; sox x.wav -t wav -"
    append(plain / "wav.scp", f"u3 {command} |", "u4 raw.ark:1234", "u5", "u6 gone.wav")
    append(plain / "text", "u3 three", "u4 four", "u5 five", "u6 six")
    prepare(plain, tmp_path / "out")
    assert sorted(texts(tmp_path / "out")["train"]) == ["u1", "u2"]
    assert not (tmp_path / "ran").exists()
    assert reasons(tmp_path / "out") == [
        ("u3", "pipe in wav.scp"),
        ("u4", "archive in wav.scp"),
        ("u5", "no audio path"),
        ("u6", "missing"),
    ]
    detail = next(row[3] for row in rejected(tmp_path / "out") if row[0] == "u3")
    assert detail.startswith("data/wav.scp, line 3: write out what it makes: touch ")


@pytest.mark.parametrize("above", [0, 1, 2])
def test_relative_paths_start_at_the_data_folder_or_above(
    above: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`egs/data/train/wav.scp` was written by a recipe that ran in `egs`, or by hand in `train`."""
    data = tmp_path / "egs" / "data" / "train"
    put_sound([data, *data.parents][above] / "wavs" / "a.wav", sound("a"))
    put(data / "wav.scp", "u1 wavs/a.wav", "u2 wavs/gone.wav")
    put(data / "text", "u1 one", "u2 two")
    monkeypatch.chdir(tmp_path)
    code, out, err = run("prep", "kaldi", "egs/data/train", "--out", "out")
    assert (code, err) == (0, "")
    assert texts(tmp_path / "out") == {"train": {"u1": "one"}}
    looked = ["wavs/gone.wav", "egs/data/train/wavs/gone.wav"]
    looked += [str(tmp_path / "egs" / folder / "wavs/gone.wav") for folder in ("data", "")]
    detail = f"train/wav.scp, line 2: looked for {', '.join(looked)}"
    assert rejected(tmp_path / "out") == [("u2", "train", "missing", detail)]
    assert "kept 1 of 2\nwarning: there is no dev split, which training needs" in out


def test_the_current_folder_comes_first_as_in_kaldi(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_sound(tmp_path / "here" / "wavs" / "b c.flac", sound("here"))
    monkeypatch.chdir(tmp_path / "here")
    prepare(plain, tmp_path / "out", strict=True)
    np.testing.assert_array_equal(audio(tmp_path / "out", "train")["u2"], sound("here"))


def test_a_folder_without_its_audio_says_where_it_looked(plain: Path, tmp_path: Path) -> None:
    put(plain / "wav.scp", "u1 gone/a.wav", "u2 gone/b.wav")
    said = refused(lambda out: prepare(plain, out), tmp_path)
    assert said.startswith(
        f"{plain}: no usable utterance (rejected: 2 missing); the first: data/wav.scp, line 1: "
        f"looked for gone/a.wav, {plain / 'gone/a.wav'}, {tmp_path / 'gone/a.wav'}, "
    )


def test_a_name_with_a_colon_is_a_file_if_it_is_one(plain: Path, tmp_path: Path) -> None:
    put_sound(plain / "12:30.wav", sound("a"))
    (plain / "12:30.wav").rename(plain / "at:12")
    append(plain / "wav.scp", "u3 at:12")
    append(plain / "text", "u3 three")
    prepare(plain, tmp_path / "out", strict=True)
    assert texts(tmp_path / "out")["train"]["u3"] == "three"


def test_everything_is_kept_or_listed(cut: Path, tmp_path: Path) -> None:
    put_sound(cut / "r3.wav", sound("r3"))
    append(cut / "wav.scp", "r3 r3.wav")
    more = {
        "s01": "r1 0.5 0.52",  # 20 ms
        "s02": "r1 1.9 2.04",  # a rounding beyond the end
        "s03": "r1 1.9 2.06",  # beyond it
        "s04": "r1 3.0 -1",
        "s05": "r1 1.0 0.5",
        "s06": "r1 zero 0.5",
        "s07": "r1 0.5",
        "s08": "r1 0.5 1.0 0 0",
        "s09": "r9 0.5 1.0",
        "s10": "r1 0.5 1.0",  # without a text
        "s11": "r1 0.5 1.0",  # with an empty one
        "s12": "r1 nan 1.0",
        "s13": "r1 0.5 0.525",  # 400 samples
        "r1-1": "r1 0.5 1.0",  # a second time
    }
    append(cut / "segments", *(f"{id} {rest}" for id, rest in more.items()), "s14")
    said = [id for id in more if id not in ("s10", "r1-1")]
    append(cut / "text", *(f"{id} {'' if id == 's11' else 'said'}" for id in said))
    append(cut / "text", "s99 nowhere", "r2-1 again")
    append(cut / "utt2spk", *(f"{id} eve" for id in more if id != "r1-1"))
    prepare(cut, tmp_path / "out")
    assert sorted(texts(tmp_path / "out")["train"]) == ["r1-1", "r1-2", "r2-1", "s02", "s13"]
    assert len(audio(tmp_path / "out", "train")["s02"]) == 1600
    assert reasons(tmp_path / "out") == [
        ("r1-1", "duplicate id"),
        ("r2-1", "duplicate transcript"),
        ("r3", "recording without a segment"),
        ("s01", "shorter than a frame"),
        ("s03", "beyond the end"),
        ("s04", "beyond the end"),
        ("s05", "segment times"),
        ("s06", "segment times"),
        ("s07", "wrong field count"),
        ("s08", "wrong field count"),
        ("s09", "no recording"),
        ("s10", "no transcript"),
        ("s11", "text empty after normalisation"),
        ("s12", "segment times"),
        ("s14", "wrong field count"),
        ("s99", "no audio"),
    ]
    details = {id: detail for id, _, _, detail in rejected(tmp_path / "out")}
    assert details["s05"] == "data/segments, line 8: from 1 s to 0.5 s"
    assert details["s06"] == "data/segments, line 9: from 'zero' to '0.5'"
    assert details["s99"] == "text has it, segments has not"
    assert details["s03"] == (
        f"{cut / 'r1.wav'}: samples 30400 to 32960 of 32000, which are 2.000 s"
    )
    with pytest.raises(UserError, match=": 15 utterances rejected "):
        prepare(cut, tmp_path / "strict", strict=True)


def test_real_speech_out_of_one_long_recording(tmp_path: Path) -> None:
    """Sixty utterances of AN4 are joined and cut again; they come back unchanged."""
    whole = DATA / "an4"
    if not whole.is_dir():
        pytest.skip("AN4 is not here")
    rows = (whole / "transcripts.tsv").read_text(encoding="utf-8").splitlines()
    columns, *utterances = (row.split("\t") for row in rows[:61])
    data = tmp_path / "data"
    waves, segments, said = [], [], []
    place = 0
    for cells in utterances:
        row = dict(zip(columns, cells, strict=True))
        waves.append(read_audio(whole / row["audio"]))
        end = place + len(waves[-1])
        segments.append(f"{row['utt_id']} long {place / 16_000} {end / 16_000}")
        said.append(f"{row['utt_id']} {row['text']}")
        place = end
    put_sound(data / "long.flac", np.concatenate(waves))
    put(data / "wav.scp", "long long.flac")
    put(data / "segments", *segments)
    put(data / "text", *said)
    prepare(data, tmp_path / "out", strict=True, jobs=2)
    found = audio(tmp_path / "out", "train")
    assert len(found) == 60
    for line, wave in zip(said, waves, strict=True):
        np.testing.assert_array_equal(found[line.split()[0]], wave)


def test_the_number_of_jobs_does_not_matter(cut: Path, tmp_path: Path) -> None:
    put_sound(cut / "r4.mp3", sound("r4", 48_000) / 32_768)
    append(cut / "wav.scp", "r4 r4.mp3")
    ids = [f"r4-{number:02d}" for number in range(40)]
    append(
        cut / "segments",
        *(f"{id} r4 {i * 0.05:.2f} {i * 0.05 + 0.1:.2f}" for i, id in enumerate(ids)),
    )
    append(cut / "text", *(f"{id} said" for id in ids))
    assert_same_for_any_jobs(lambda out, jobs: prepare(cut, out, dev=2, jobs=jobs), tmp_path)


def test_nor_does_the_order_of_the_lines(cut: Path, tmp_path: Path) -> None:
    prepare(cut, tmp_path / "a")
    for path in (cut / name for name in ("wav.scp", "text", "utt2spk", "segments")):
        put(path, *path.read_text(encoding="utf-8").splitlines()[::-1])
    prepare(cut, tmp_path / "b")
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


def test_a_list_that_contradicts_itself(plain: Path, tmp_path: Path) -> None:
    append(plain / "utt2spk", "u1 ada", "u2 cid")
    assert refused(lambda out: prepare(plain, out), tmp_path) == (
        f"{plain / 'utt2spk'}, line 4: 'u2' is 'cid' here and 'bob' before; leave one"
    )


def test_what_is_no_data_folder_is_one_line(plain: Path, tmp_path: Path) -> None:
    assert refused(lambda out: prepare(tmp_path, out), tmp_path / "elsewhere") == (
        f"{tmp_path}: no wav.scp; SOURCE is a Kaldi data folder, or the folder above train, dev "
        f"and test"
    )
    assert refused(lambda out: prepare(plain, out, split_name="a/b"), tmp_path) == (
        "--split-name: found 'a/b', allowed: up to 64 letters, digits, '_' and '-'"
    )
    (plain / "text").rename(plain / "transcripts")
    assert refused(lambda out: prepare(plain, out), tmp_path) == f"{plain / 'text'}: no such file"


def test_two_folders_of_one_split(plain: Path, tmp_path: Path) -> None:
    for folder in ("dev", "valid"):
        put(tmp_path / "two" / folder / "wav.scp", "u1 a.wav")
    assert refused(lambda out: prepare(tmp_path / "two", out), tmp_path) == (
        f"{tmp_path / 'two'}: dev and valid both are dev; move one away"
    )
    message = refused(lambda out: prepare(tmp_path / "two", out, split_name="dev"), tmp_path)
    assert message == (
        f"--split-name: {tmp_path / 'two'} has no wav.scp, so it is not a single data folder"
    )


def test_the_command(cut: Path, tmp_path: Path) -> None:
    code, out, _ = run("prep", "kaldi", cut, "--out", tmp_path / "out", "--dev", 1, "--jobs", 2)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines() if " 0.00 " in line] == [
        ["dev", "1"],
        ["train", "2"],
    ]
    wrong = error("prep", "kaldi", tmp_path, "--out", tmp_path / "out2")
    assert wrong.startswith(f"{tmp_path}: no wav.scp; ")
