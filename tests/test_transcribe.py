"""`asrbench transcribe`: batches of files, windows of long recordings, times, subtitles."""

import io
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePath
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile
from doors import error, run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly
from tones import cell_of, sets_for, spoken, trained
from typer.testing import CliRunner

from asrbench.base.errors import UserError
from asrbench.cli.app import app
from asrbench.data.corpus_writer import CorpusWriter, Utterance
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.experiment.registry import MODELS
from asrbench.experiment.run_folder import Run
from asrbench.models.heads.ctc import Ctc
from asrbench.models.heads.head import Head
from asrbench.recogniser.recogniser import Recogniser
from asrbench.recogniser.windows import OVERLAP_S, HeardSymbol, Window, joined, windows_of
from asrbench.report.subtitles import Cue, cues_of, srt, vtt
from asrbench.stages.transcribe import (
    Settings,
    Source,
    Untranscribed,
    Word,
    sources_of,
    transcribe,
)
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.setup import set_up

LETTER_S = 0.3
"""Each letter lasts so long, and so does a space, which is silence."""


def words_spoken(text: str) -> Samples:
    silence = np.zeros(int(LETTER_S * SAMPLE_RATE_HZ))
    noise = np.random.default_rng(1).normal(0, 80, len(text) * len(silence))
    parts = [silence if letter == " " else spoken(letter) for letter in text]
    return (np.concatenate(parts) + noise).astype(np.int16)


def sentence(words: int, seed: int) -> str:
    draw = Random(seed)
    return " ".join("".join(draw.sample("abcd", k=draw.randint(2, 4))) for _ in range(words))


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that has learned to hear words of four tones."""
    folder = tmp_path_factory.mktemp("words")
    with CorpusWriter.create(
        folder / "corpus", name="w", recipe="t", source="", text_profile="verbatim", strict=True
    ) as writer:
        for number in range(12):
            text = sentence(6, number)
            for split in ("train", "dev") if number < 2 else ("train",):
                writer.add(split, Utterance(f"{split}{number}", words_spoken(text), text))
    sets = ["train.epochs=22", "train.batch_seconds=8", "train.weights={kind: last}"]
    return trained(cell_of(folder, folder / "corpus", *sets), folder / "results")


def source(path: Path) -> Source:
    return Source(str(path), path, PurePath(path.name))


def transcripts(run: Run, paths: list[Path], search: str = "greedy", **kept: Any) -> list[Any]:
    return [*transcribe(run, [*map(source, paths)], search, "cpu", Settings(**kept))]


def put(path: Path, text: str, rate_hz: int = SAMPLE_RATE_HZ) -> Path:
    soundfile.write(
        path, resample_poly(words_spoken(text), rate_hz, SAMPLE_RATE_HZ) / 32768, rate_hz
    )
    return path


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A recording that windows of 10 s cut into seven, with its text."""
    text, path = sentence(38, seed=99), tmp_path_factory.mktemp("long") / "long.wav"
    soundfile.write(path, words_spoken(text), SAMPLE_RATE_HZ)
    return path, text


def starts(text: str) -> Iterator[float]:
    """The time at which each word begins."""
    places = (i for i, c in enumerate(text) if c != " " and (not i or text[i - 1] == " "))
    return (LETTER_S * place for place in places)


@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_a_long_recording_has_the_text_of_its_windows(
    heard: Run, long: tuple[Path, str], search: str
) -> None:
    path, text = long
    (whole,) = transcripts(heard, [path], search, window_s=10.0, timestamps=True)
    assert whole.seconds > 38
    assert whole.text == text
    assert [word.text for word in whole.words] == text.split()
    assert [each.symbol for each in whole.symbols] == [*text]
    for word, start_s in zip(whole.words, starts(text), strict=True):
        assert word.start_s == pytest.approx(start_s, abs=LETTER_S)
        assert word.end_s == pytest.approx(start_s + len(word.text) * LETTER_S, abs=LETTER_S)


def test_windows_of_a_head_that_does_not_align_are_joined_by_their_texts(
    heard: Run, long: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ctc, "aligned", Head.aligned)
    path, text = long
    (whole,) = transcripts(heard, [path], window_s=10.0)
    assert (whole.text, whole.words) == (text, None)
    with pytest.raises(UserError, match="--timestamps: found the head 'ctc', which does not align"):
        transcripts(heard, [path], timestamps=True)


# Where windows are cut and joined


@given(st.integers(1, 60_000_000), st.floats(10, 60))
def test_windows_cover_a_recording_and_overlap(samples: int, longest_s: float) -> None:
    windows = windows_of(samples, longest_s)
    assert (windows[0].start, windows[-1].end) == (0, samples)
    lengths = [each.end - each.start for each in windows]
    assert max(lengths) <= round(longest_s * SAMPLE_RATE_HZ)
    assert max(lengths) - min(lengths) < len(windows)
    for one, other in pairwise(windows):
        assert one.end - other.start == OVERLAP_S * SAMPLE_RATE_HZ


TWO = [Window(0, 10 * SAMPLE_RATE_HZ), Window(6 * SAMPLE_RATE_HZ, 16 * SAMPLE_RATE_HZ)]


def at(*symbols: tuple[int, float]) -> list[HeardSymbol]:
    return [HeardSymbol(symbol, s, s + 0.02, 1.0) for symbol, s in symbols]


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        # The last symbols of a window and the first of the next are heard worst: 9 and 8 are wrong.
        (at((1, 2), (2, 7), (3, 8), (9, 9.9)), at((8, 6.1), (2, 7), (3, 8), (4, 9)), [1, 2, 3, 4]),
        # Each window hears it on another side of the middle, 8 s: it is there once.
        (at((1, 2), (2, 7.95)), at((2, 8.05), (3, 12)), [1, 2, 3]),
        (at((1, 2), (2, 8.05)), at((2, 7.95), (3, 12)), [1, 2, 3]),
        # Twice the same symbol in 0.1 s is not the same sound.
        (at((5, 7.95), (5, 8.05)), at((5, 7.95), (5, 8.05)), [5, 5]),
        # Nothing in common: each has its half.
        (at((1, 2), (2, 7), (3, 9)), at((4, 7), (5, 9)), [1, 2, 5]),
        (at((1, 2)), at((5, 12)), [1, 5]),
        ([], [], []),
        # Without times: the longest run of the end of one and the beginning of the other.
        (
            [HeardSymbol(n) for n in (1, 2, 3, 4, 5, 9)],
            [HeardSymbol(n) for n in (8, 3, 4, 5, 6, 7)],
            [1, 2, 3, 4, 5, 6, 7],
        ),
        # A run of two may be chance.
        (
            [HeardSymbol(n) for n in (1, 2, 3)],
            [HeardSymbol(n) for n in (2, 3, 4)],
            [1, 2, 3, 2, 3, 4],
        ),
    ],
)
def test_joined_by_hand(
    one: list[HeardSymbol], other: list[HeardSymbol], wanted: list[int]
) -> None:
    assert [each.symbol for each in joined(TWO, [one, other])] == wanted


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 60)), max_size=40), st.floats(10, 20))
def test_windows_that_hear_alike_are_joined_to_what_is_spoken(
    spoken_at: list[tuple[int, int]], longest_s: float
) -> None:
    """Symbols on a grid of 0.5 s, the second window up to 80 ms later than the first."""
    spoken_s = sorted({(place / 2 + 0.1, symbol) for symbol, place in spoken_at})
    windows = windows_of(32 * SAMPLE_RATE_HZ, longest_s)
    heard = [
        at(*((c, s + 0.08 * (k % 2)) for s, c in spoken_s if w.start_s <= s < w.end_s))
        for k, w in enumerate(windows)
    ]
    assert [each.symbol for each in joined(windows, heard)] == [symbol for _, symbol in spoken_s]


# Words


@pytest.mark.parametrize("unit", ["char", "jamo", "subword"])
@given(data=st.data())
@settings(max_examples=60)
def test_words_are_those_of_the_text(unit: str, data: st.DataObject) -> None:
    tokenizer = Tokenizer.of(unit, ["나는 주말마다 산에 가", "enter two nine  eight"], 40)
    indices = data.draw(st.lists(st.integers(1, len(tokenizer) - 1)))
    words = tokenizer.words(indices)
    found = [tokenizer.decode([indices[i] for i in places]) for places in words]
    assert [w for w in found if w] == tokenizer.decode(indices).split()
    assert [i for places in words for i in places] == sorted({i for p in words for i in p})


# Subtitles

WORDS = [
    *(Word("word", 0.5 * n, 0.5 * n + 0.3) for n in range(10)),
    Word("<late>", 3599.9996, 3600.25),
]


def test_cues_end_at_a_pause_or_with_a_full_line() -> None:
    assert cues_of(WORDS) == [
        Cue(0.0, 3.8, " ".join(["word"] * 8)),
        Cue(4.0, 5.0, "word word"),
        Cue(3599.9996, 3600.9996, "<late>"),
    ]
    assert cues_of([Word("a", 0.0, 6.9), Word("b", 6.9, 7.5)]) == [
        Cue(0.0, 6.9, "a"),
        Cue(6.9, 7.9, "b"),
    ]
    assert cues_of([]) == []


def test_srt_and_vtt_by_hand() -> None:
    assert srt(WORDS[8:]) == (
        "1\n00:00:04,000 --> 00:00:05,000\nword word\n\n2\n01:00:00,000 --> 01:00:01,000\n<late>\n"
    )
    assert vtt(WORDS[8:]) == (
        "WEBVTT\n\n00:00:04.000 --> 00:00:05.000\nword word\n"
        "\n01:00:00.000 --> 01:00:01.000\n&lt;late&gt;\n"
    )
    assert (srt([]), vtt([])) == ("", "WEBVTT\n")


# Files


def test_many_files_are_batched_and_come_out_in_order(heard: Run, tmp_path: Path) -> None:
    """Each has the text that it has alone, in the formats that are read."""
    texts = [sentence(2 + n % 5, seed=50 + n) for n in range(9)]
    kinds = ["wav", "flac", "mp3", "ogg", "aiff"]
    paths = [put(tmp_path / f"{n}.{kinds[n % 5]}", text) for n, text in enumerate(texts)]
    together = transcripts(heard, paths)
    assert [each.source.audio for each in together] == paths
    assert [each.text for each in together] == [
        each.text for path in paths for each in transcripts(heard, [path])
    ]
    lossless = [n for n, path in enumerate(paths) if path.suffix not in (".mp3", ".ogg")]
    assert [together[n].text for n in lossless] == [texts[n] for n in lossless]


def test_one_bad_file_does_not_end_the_batch(heard: Run, tmp_path: Path) -> None:
    good = put(tmp_path / "good.wav", "ab cd")
    (tmp_path / "bad.wav").write_text("no audio")
    soundfile.write(tmp_path / "stereo.wav", np.zeros((8000, 2)), SAMPLE_RATE_HZ)
    names = ["missing.wav", "good.wav", "bad.wav", "stereo.wav", "good.wav"]
    code, out, err = run("transcribe", heard.folder, *(tmp_path / name for name in names))
    assert code == 2
    assert out == f"{good}\tab cd\n" * 2
    missing, bad, stereo = err.splitlines()
    assert missing == f"error: {tmp_path / 'missing.wav'}: missing"
    assert bad.startswith(f"error: {tmp_path / 'bad.wav'}: unreadable")
    assert stereo == (
        f"error: {tmp_path / 'stereo.wav'}: wrong channel count (2 channels); "
        f"--channel N chooses one"
    )


def test_a_folder_is_read_at_any_depth(heard: Run, tmp_path: Path) -> None:
    (tmp_path / "in/deep").mkdir(parents=True)
    one, other = put(tmp_path / "in/a.wav", "ab"), put(tmp_path / "in/deep/b.FLAC", "cd")
    (tmp_path / "in/notes.txt").write_text("ab")
    code, out, _ = run("transcribe", heard.folder, tmp_path / "in", "--out", tmp_path / "out")
    assert (code, len(out.splitlines())) == (0, 2)
    assert (tmp_path / "out/a.txt").read_text() == transcripts(heard, [one])[0].text + "\n"
    assert (tmp_path / "out/deep/b.txt").read_text() == transcripts(heard, [other])[0].text + "\n"
    (tmp_path / "empty").mkdir()
    assert "empty has no audio file" in error("transcribe", heard.folder, tmp_path / "empty")


def test_two_files_that_would_be_written_to_one_are_told(heard: Run, tmp_path: Path) -> None:
    paths = [put(tmp_path / "a.wav", "ab"), put(tmp_path / "a.flac", "ab")]
    line = error("transcribe", heard.folder, *paths, "--srt", "--out", tmp_path / "out")
    assert line.startswith(f"--out: {paths[0]} and {paths[1]} would both be written to")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("window", ["nan", "inf", "9.9", "-1", "1e300"])
def test_a_window_that_is_none(heard: Run, tmp_path: Path, window: str) -> None:
    path = put(tmp_path / "a.wav", "ab")
    line = error("transcribe", heard.folder, path, "--window", window)
    assert line.startswith("--window: found ")
    assert line.endswith("allowed: 10 to 3600 s")


def test_a_channel_of_several(heard: Run, tmp_path: Path) -> None:
    stereo = np.stack([words_spoken("ab cd"), words_spoken("dc ba")], axis=1)
    soundfile.write(tmp_path / "two.wav", stereo, SAMPLE_RATE_HZ)
    for channel, text in ((1, "ab cd"), (2, "dc ba")):
        code, out, _ = run("transcribe", heard.folder, tmp_path / "two.wav", "--channel", channel)
        assert (code, out) == (0, f"{tmp_path / 'two.wav'}\t{text}\n")
    line = error("transcribe", heard.folder, tmp_path / "two.wav", "--channel", 3)
    assert line == f"{tmp_path / 'two.wav'}: no such channel (3 of 2)"


def test_standard_input(heard: Run, tmp_path: Path) -> None:
    data = put(tmp_path / "a.ogg", "ab cd").read_bytes()
    done = CliRunner().invoke(app, ["transcribe", str(heard.folder), "-"], input=data)
    assert (done.exit_code, done.stdout) == (0, "-\tab cd\n")
    done = CliRunner().invoke(app, ["transcribe", str(heard.folder), "-"], input=b"")
    assert (done.exit_code, done.stderr) == (2, "error: -: empty file\n")
    with pytest.raises(UserError, match="found standard input twice"):
        sources_of([Path("-"), Path("-")], io.BytesIO())


def test_json_and_subtitles(heard: Run, tmp_path: Path) -> None:
    path = put(tmp_path / "a.wav", "ab cd")
    code, out, _ = run("transcribe", heard.folder, path, "--json", "--timestamps")
    (row,) = map(json.loads, out.splitlines())
    assert (code, row["file"], row["seconds"], row["text"]) == (0, str(path), 1.5, "ab cd")
    assert [word["word"] for word in row["words"]] == ["ab", "cd"]
    assert [each["symbol"] for each in row["symbols"]] == [*"ab cd"]
    assert all(0 <= each["start"] <= each["end"] <= 1.5 for each in row["symbols"])
    code, out, _ = run("transcribe", heard.folder, path, "--json")
    assert json.loads(out).keys() == {"file", "seconds", "text"}
    code, out, _ = run("transcribe", heard.folder, path, "--timestamps")
    assert [line.split("\t")[3] for line in out.splitlines()] == ["ab", "cd"]
    code, out, _ = run("transcribe", heard.folder, path, "--srt")
    assert out.splitlines()[2] == "ab cd"
    code, out, _ = run("transcribe", heard.folder, path, "--vtt", "--out", tmp_path)
    assert (tmp_path / "a.vtt").read_text().startswith("WEBVTT\n\n00:00:00.")
    assert out == f"{tmp_path / 'a.vtt'}\n"
    assert "allowed: one of --json, --srt and --vtt" in error(
        "transcribe", heard.folder, path, "--srt", "--json"
    )
    assert error("transcribe", heard.folder, path, path, "--srt").startswith("--srt: found 2 files")


def test_output_is_safe_for_terminals(heard: Run, tmp_path: Path) -> None:
    path = put(tmp_path / "a\x1b[2J\nb.wav", "ab cd")
    _, out, _ = run("transcribe", heard.folder, path)
    assert out.count("\n") == 1
    assert "\x1b" not in out
    _, out, _ = run("transcribe", heard.folder, path, "--json")
    assert "\x1b" not in out
    assert json.loads(out)["file"] == str(path)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_transcribes(name: str, corpus: Path, tmp_path: Path) -> None:
    """Untrained; with times where its head aligns, and a recording of several windows."""
    cell = cell_of(tmp_path, corpus, *sets_for(name))
    setup = set_up(cell, tmp_path / "results")
    recogniser = Recogniser(cell, setup.tokenizer, setup.corpus.fingerprint, setup.device)
    setup.run.begin(cell, {}, [])
    recogniser.save(setup.run.weights_path(), epoch=1)
    paths = [put(tmp_path / "a.wav", "abc"), put(tmp_path / "b.wav", "abc " * 10)]
    search = recogniser.selection
    found = transcripts(setup.run, paths, search, window_s=10.0, timestamps=recogniser.aligns)
    assert [each.source.name for each in found] == [*map(str, paths)]
    for each in found:
        if isinstance(each, Untranscribed):
            assert "too many symbols for its frames" in each.reason
        elif recogniser.aligns:
            assert len(each.symbols) >= len(each.text)
            assert [word.text for word in each.words] == each.text.split()
