"""`asrbench corpus`: statistics counted by hand, printed tables, the JSON, and the picture."""

import io
import json
import re
import struct
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from doors import prepare
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from asrbench.base.reporting import Silent
from asrbench.cli import terminal_corpus
from asrbench.cli.app import app
from asrbench.data.corpus import Corpus
from asrbench.data.corpus_writer import CorpusWriter, Utterance
from asrbench.data.loudness import LOUDNESS_DTYPE
from asrbench.data.split_reading import SplitReading, evenly_spaced, read_splits
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.stages.corpus.statistics import MAX_BINS, bin_counts, duration_bins
from asrbench.stages.corpus.symbols import unit_statistics
from asrbench.text.tokenizer import UNITS, Tokenizer

SELVAS = Path(__file__).parents[2] / "shared/data/selvas_ko/transcripts.tsv"


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["corpus", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def printed(*arguments: object) -> str:
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    return out


def figures(*arguments: object) -> Any:
    return json.loads(printed(*arguments, "--json"))


def error(*arguments: object) -> str:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    return line.removeprefix("error: ")


def tone(seconds: float, amplitude: int = 3277) -> np.ndarray:
    """A square wave: its RMS is its peak, and its mean 0."""
    return np.resize(np.array([amplitude, -amplitude], dtype=np.int16), int(seconds * 16_000))


Row = tuple[str, float, str | None]
"""Text, seconds, speaker."""


def write(folder: Path, splits: dict[str, list[Row | Utterance]], **about: Any) -> Path:
    with CorpusWriter.create(
        folder, name="toy", recipe="test", source="nowhere", text_profile="verbatim"
    ) as writer:
        for split, rows in splits.items():
            for i, row in enumerate(rows):
                if not isinstance(row, Utterance):
                    text, seconds, speaker = row
                    row = Utterance(f"{split}{i}", tone(seconds), text, speaker)
                writer.add(split, row)
        for reason in about.get("rejected", []):
            writer.reject("x", "train", reason)
    return folder


TRAIN: list[Row | Utterance] = [
    ("가나", 1, "a"),
    ("가 다", 2, "a"),
    ("나나", 3, "b"),
    ("가나", 2, None),
]
DEV: list[Row | Utterance] = [
    (unicodedata.normalize("NFD", "가나"), 1, "a"),
    ("라 가", 1.5, "c"),
]
TEST: list[Row | Utterance] = [("다", 0.5, None)]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = {"dev": DEV, "test": TEST, "train": TRAIN}
    return write(tmp_path_factory.mktemp("home") / "toy", splits, rejected=["missing", "missing"])


# Figures counted by hand


def test_how_much_and_how_long(toy: Path) -> None:
    found = figures(toy)
    assert list(found["splits"]) == ["train", "dev", "test"]
    train = found["splits"]["train"]
    assert train["utterances"] == 4
    assert train["hours"] == 8 / 3600
    assert train["speakers"] == 2
    assert train["utterances_of_no_known_speaker"] == 1
    seconds = train["seconds"]
    assert [seconds[each] for each in ("mean", "median", "min", "max")] == [2, 2, 1, 3]
    assert found["splits"]["dev"]["seconds"]["mean"] == 2.5 / 2
    assert found["splits"]["test"]["speakers"] is None
    assert found["rejected"] == {"missing": 2}
    assert found["remarks"] == {}


def test_durations_fall_into_round_bins_that_begin_where_they_say(toy: Path) -> None:
    """The longest is 3 s, and 11 bins of 0.2 s would end before it."""
    found = figures(toy)
    assert found["bins_from_seconds"] == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    counts = {name: split["seconds"]["counts"] for name, split in found["splits"].items()}
    assert counts == {
        "train": [0, 0, 1, 0, 2, 0, 1],
        "dev": [0, 0, 1, 1, 0, 0, 0],
        "test": [0, 1, 0, 0, 0, 0, 0],
    }


def test_what_is_said(toy: Path) -> None:
    """Characters 2, 3, 2, 2 in 1, 2, 3, 2 seconds: single rates are 2/3, 1, 3/2, 2, and a
    twentieth of the way through three gaps is 3/20 of the first."""
    text = figures(toy)["splits"]["train"]["text"]
    assert (text["characters"], text["words"], text["distinct"], text["empty"]) == (9, 5, 3, 0)
    assert text["characters_per_utterance"] == 9 / 4
    assert text["words_per_utterance"] == 5 / 4
    assert text["characters_per_second"] == 9 / 8
    assert text["rates"] == {
        "p5": pytest.approx(2 / 3 + 3 / 20 * 1 / 3),
        "p50": pytest.approx(5 / 4),
        "p95": pytest.approx(2 - 3 / 20 * 1 / 2),
    }


def test_symbols_that_train_does_not_have(toy: Path) -> None:
    """Train has 가 and 나 often, 다 and the space once; of `가나` and `라 가` it lacks 라, 1 of 5
    characters; as jamo ᄅ, 1 of 9, for it has ᅡ."""
    char, jamo = figures(toy)["units"]
    assert (char["units"], char["symbols"], char["once"]) == (["char", "syllable"], 4, 2)
    assert char["unknown"]["dev"] == {
        "symbols": 1,
        "occurrences": 1,
        "share": 1 / 5,
        "utterances": 1,
        "most_frequent": [["라", 1]],
    }
    assert (jamo["units"], jamo["symbols"], jamo["once"]) == (["jamo"], 5, 2)
    assert jamo["unknown"]["dev"]["share"] == 1 / 9
    assert jamo["unknown"]["dev"]["most_frequent"] == [["\u1105", 1]]
    assert jamo["unknown"]["test"]["symbols"] == 0


def test_what_splits_share(toy: Path) -> None:
    """`가나` is once in dev, in another form of Unicode, and twice in train."""
    dev_train, test_train, test_dev = figures(toy)["overlaps"]
    assert dev_train == {
        "splits": ["dev", "train"],
        "texts": 1,
        "utterances": [1, 2],
        "shares": [1 / 2, 2 / 4],
        "most_frequent": [["가나", 1]],
        "speakers": {"count": 1, "first": ["a"]},
    }
    assert test_train["splits"] == ["test", "train"]
    assert (test_train["texts"], test_train["speakers"]) == (0, None)
    assert test_dev["splits"] == ["test", "dev"]


def test_how_loud(tmp_path: Path) -> None:
    """Peaks of 1/10 and 1/100 of full scale, -20 and -40 dB; one clipped; one silent, which is in
    no percentile; one off centre by 1/8."""
    half = np.full(400, 4096, dtype=np.int16)
    recordings = [tone(1, 3277), tone(1, 328), np.repeat(tone(1, 32767), 3), tone(1, 32), half]
    rows: list[Row | Utterance] = [
        Utterance(f"u{i}", audio, "가") for i, audio in enumerate(recordings)
    ]
    audio = figures(write(tmp_path / "toy", {"train": rows}))["splits"]["train"]["audio"]
    assert audio["measured"] == 5
    assert audio["clipped"] == {"count": 1, "first": ["u2"]}
    assert audio["silent"] == {"count": 1, "first": ["u3"]}
    assert audio["off_centre"] == {"count": 1, "first": ["u4"]}
    assert audio["max_offset"] == 1 / 8
    assert audio["max_peak_db"] == pytest.approx(0, abs=1e-3)
    # The median of -40, -20, -18.06 and 0. The RMS of a square wave is its peak.
    assert audio["rms_db"]["p50"] == pytest.approx((-20 - 20 * np.log10(8)) / 2, abs=0.01)
    assert audio["rms_db"] == pytest.approx(audio["peak_db"])


def test_silence_alone_has_no_loudness_and_no_panel(tmp_path: Path) -> None:
    folder = write(tmp_path / "toy", {"train": [Utterance("u", tone(1, 1), "가")]})
    audio = figures(folder)["splits"]["train"]["audio"]
    assert audio["rms_db"] is audio["peak_db"] is audio["max_peak_db"] is None
    assert re.search(r"train +1 +- +- +- +- +- +0 +1 \(100.0 %\) +0", printed(folder))
    assert "train: silent: u\n" in printed(folder, "--plot", tmp_path / "a.png")
    assert size(tmp_path / "a.png")[1] == size_of_panels(3)[1]


def test_a_side_of_its_own(tmp_path: Path) -> None:
    rows: list[Row | Utterance] = [
        Utterance("u", tone(1), "3시", spelling="3시", phonetic="세 시"),
    ]
    folder = write(tmp_path / "toy", {"train": rows, "dev": [Utterance("v", tone(1), "세 시")]})
    assert error(folder, "--side", "phonetic") == (
        f"{folder}: --side of dev: found 'phonetic', allowed: text"
    )
    folder = write(tmp_path / "other", {"train": rows})
    found = figures(folder, "--side", "phonetic")
    assert found["side"] == "phonetic"
    assert found["splits"]["train"]["text"]["characters"] == 3
    assert "Text: column 'phonetic'" in printed(folder, "--side", "phonetic")


def test_languages_and_channels_where_they_are_known(tmp_path: Path) -> None:
    rows: list[Row | Utterance] = [
        Utterance("a", tone(1), "가", language="ko", channel="1"),
        Utterance("b", tone(1), "나", language="ko"),
        Utterance("c", tone(1), "no", language="en"),
    ]
    folder = write(tmp_path / "toy", {"train": rows, "dev": [("가", 1, None)]})
    splits = figures(folder)["splits"]
    assert splits["train"]["languages"] == {"ko": 2, "en": 1}
    assert splits["train"]["channels"] == {"1": 1}
    assert splits["dev"]["languages"] == splits["dev"]["channels"] == {}
    out = printed(folder)
    assert "train: languages ko 2, en 1\ntrain: channels 1 1, unknown 2\n" in out
    assert "dev: languages" not in out


def test_a_corpus_without_train_has_nothing_to_hold_others_against(tmp_path: Path) -> None:
    folder = write(tmp_path / "toy", {"test": TEST})
    assert figures(folder)["units"] == []
    assert figures(folder)["overlaps"] == []
    assert "no split 'train', so there are no symbols" in printed(
        folder, "--plot", tmp_path / "a.png"
    )
    assert size(tmp_path / "a.png") == size_of_panels(2)


def test_without_hangul_there_are_only_characters(tmp_path: Path) -> None:
    folder = write(tmp_path / "toy", {"train": [("ab", 1, None)], "dev": [("bc", 1, None)]})
    (unit,) = figures(folder)["units"]
    assert unit["units"] == ["char"]
    assert unit["unknown"]["dev"]["most_frequent"] == [["c", 1]]


def test_folders_from_before_there_were_remarks(tmp_path: Path) -> None:
    folder = write(tmp_path / "toy", {"train": TRAIN})
    about = json.loads((folder / "corpus.json").read_text())
    del about["remarks"]
    (folder / "corpus.json").write_text(json.dumps(about))
    assert figures(folder)["remarks"] == {}


# Properties


def reading(name: str, texts: list[str]) -> SplitReading:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(unicodedata.normalize("NFC", text))
    return SplitReading(
        name,
        samples=np.full(len(texts), SAMPLE_RATE_HZ),
        characters=np.array([len(text) for text in texts]),
        words=np.array([len(text.split()) for text in texts]),
        texts=Counter(unicodedata.normalize("NFC", text) for text in texts),
        symbols=counts,
        speakers=Counter(),
        languages=Counter(),
        channels=Counter(),
        measured=(),
        loudness=np.zeros(0, dtype=LOUDNESS_DTYPE),
    )


TEXTS = st.lists(
    st.text(
        st.one_of(
            st.characters(min_codepoint=0xAC00, max_codepoint=0xAC40),
            st.characters(min_codepoint=0x1100, max_codepoint=0x11C2),
            st.sampled_from("ab é\u0301"),
        ),
        min_size=1,
    ),
    min_size=1,
    max_size=8,
)


@given(TEXTS, TEXTS)
def test_unknown_is_what_the_tokenizer_of_a_model_cannot_spell(
    train: list[str], dev: list[str]
) -> None:
    train.append("가")
    found = unit_statistics([reading("train", train), reading("dev", dev)])
    assert {name for unit in found for name in unit.units} == set(UNITS) - {"subword"}
    for unit in found:
        for name in unit.units:
            tokenizer = Tokenizer.of(name, train)
            unknown = tokenizer.unknown(dev)
            counted = unit.unknown["dev"]
            assert unit.symbols == len(tokenizer.symbols)
            assert (counted.symbols, counted.occurrences) == (len(unknown), unknown.total())
            assert counted.share == unknown.total() / sum(len(UNITS[name].split(t)) for t in dev)
            assert counted.utterances == sum(bool(tokenizer.unknown([text])) for text in dev)
            assert dict(counted.most_frequent).items() <= unknown.items()


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=60))
def test_every_utterance_is_in_one_bin_of_at_most_twelve(samples: list[int]) -> None:
    lengths = np.array(samples)
    bins = duration_bins([lengths])
    assert 1 <= len(bins) <= MAX_BINS
    assert bins[0] == 0
    assert len(set(np.diff(bins).tolist())) <= 1
    counts = bin_counts(lengths, bins)
    assert sum(counts) == len(samples)
    ends = [*bins[1:].tolist(), float("inf")]
    for low, high, count in zip(bins.tolist(), ends, counts, strict=True):
        assert count == sum(low <= each < high for each in samples)
    # If there are twelve bins, the last one holds at most the longest hundredth.
    if len(bins) == MAX_BINS:
        assert counts[-1] <= len(samples) / 100 + 1


@given(st.integers(1, 3000), st.integers(0, 400))
def test_recordings_are_evenly_spaced(count: int, chosen: int) -> None:
    found = evenly_spaced(count, chosen)
    assert len(found) == min(count, chosen)
    assert all(0 <= place < count for place in found)
    gaps = {after - before for before, after in pairwise(found)}
    assert not gaps or (min(gaps) > 0 and max(gaps) - min(gaps) <= 1)


def test_the_order_of_utterances_changes_nothing(tmp_path: Path) -> None:
    one = figures(write(tmp_path / "one", {"train": TRAIN, "dev": DEV}))
    splits = {"train": list(reversed(TRAIN)), "dev": list(reversed(DEV))}
    other = figures(write(tmp_path / "other", splits))
    for found in (one, other):
        del found["folder"], found["fingerprint"]
    assert one == other


# Printing


def test_what_is_printed_is_what_json_says(toy: Path) -> None:
    """Finds every row of every table, with the figures of the JSON."""
    out, found = printed(toy), figures(toy)
    for name, split in found["splits"].items():
        seconds, text, audio = split["seconds"], split["text"], split["audio"]
        speakers = split["speakers"] or "unknown"
        durations = " +".join(
            re.escape(f"{seconds[each]:.2f}") for each in ("mean", "median", "min", "max")
        )
        row = rf"^ {name} +{split['utterances']} +{split['hours']:.2f} +{speakers} +{durations} *$"
        assert re.search(row, out, re.MULTILINE)
        rates = " +".join(f"{text['rates'][each]:.1f}" for each in ("p5", "p95"))
        row = (
            rf"^ {name} +{text['characters']} +{text['characters_per_utterance']:.1f} "
            rf"+{text['words_per_utterance']:.1f} +{text['characters_per_second']:.2f} "
            rf"+{rates} +{text['distinct']} *$"
        )
        assert re.search(row, out, re.MULTILINE)
        rms = " +".join(f"{audio['rms_db'][each]:.1f}" for each in ("p5", "p50", "p95"))
        row = rf"^ {name} +{audio['measured']} +{rms} +-20.0 +-20.0 +0 +0 +0 *$"
        assert re.search(row, out, re.MULTILINE)
    for unit in found["units"]:
        for name, unknown in unit["unknown"].items():
            share = f"{100 * unknown['share']:.3f} %" if unknown["share"] else "0 %"
            row = rf"^ {unit['units'][0]} +{name} +{unknown['symbols']} +{share} "
            assert re.search(row + rf"+{unknown['utterances']} ", out, re.MULTILINE)
    for overlap in found["overlaps"]:
        one, other = overlap["splits"]
        row = rf"^ {one} +{other} +{overlap['utterances'][0]} "
        assert re.search(row, out, re.MULTILINE)
    assert "char and syllable: 4 symbols in train, 2 of them once" in out
    assert "dev and train: texts '가나'(1)\ndev and train: speakers a\n" in out
    assert "train: speaker unknown in 1 of 4 utterances\n" in out
    assert f"2 left out: missing; see {toy / 'rejected.jsonl'}" in out


def test_the_longest_bar_is_the_greatest_share_and_all_are_to_one_scale(toy: Path) -> None:
    """Shares of train are 1/4, 1/2 and 1/4; test has its one utterance in the longest bar."""
    bars = {
        label: [cell.count("█") + eighths(cell) for cell in re.findall(r"[█▏▎▍▌▋▊▉]+", line)]
        for line in printed(toy).splitlines()
        if (label := line.partition("  ")[0].strip()) and " to " in label
    }
    whole = bars["0.5 to 1"][0]
    assert whole > 8
    assert bars["2 to 2.5"] == [pytest.approx(whole / 2, abs=1 / 8)]
    assert bars["1 to 1.5"] == [pytest.approx(whole / 4, abs=1 / 8), pytest.approx(whole / 2)]
    assert bars["0 to 0.5"] == []


def eighths(bar: str) -> float:
    return (" ▏▎▍▌▋▊▉".index(bar[-1]) if bar[-1] != "█" else 0) / 8


def test_a_share_that_is_hardly_any_still_has_a_bar() -> None:
    assert terminal_corpus.bar(1e-9, 10) == "▏"
    assert terminal_corpus.bar(0.0, 10) == ""
    assert terminal_corpus.bar(1.0, 10) == "█" * 10


def test_where_there_is_only_ascii_bars_are_too(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(terminal_corpus, "Console", lambda: Console(file=plain))
    assert terminal_corpus.bar(0.5, 10) == "#####"
    assert terminal_corpus.bar(1e-9, 10) == "#"


def test_tables_fit_80_columns_and_have_no_colours_when_piped(tmp_path: Path) -> None:
    """Prints six splits with long names, also in Hangul, which is twice as wide."""
    names = ("train", "dev_clean", "dev_other", "test_clean", "test_other", "시험_말뭉치")
    texts = [chr(0xAC00 + 28 * i) * 9 for i in range(len(names))]
    splits: dict[str, list[Row | Utterance]] = {
        name: [(text, 1 + i, f"화자{i}"), (texts[0], 2, "화자")]
        for i, (name, text) in enumerate(zip(names, texts, strict=True))
    }
    folder = write(tmp_path / "toy", splits)
    out = printed(folder)
    assert "\x1b" not in out
    tables = [line for line in out.splitlines() if line.startswith(" ")]
    assert len(tables) > 60
    assert max(map(cell_len, tables)) <= 80
    for name in names:
        assert sum(name in line for line in tables) >= 4, "a name was folded"
    assert out.count("Utterances by duration") == 2
    assert "시험_말뭉치 and train: speakers 화자\n" in out


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        ("가", "가"),
        (" ", "space"),
        ("\u1100", "ㄱ-"),
        ("\u1161", "-ㅏ-"),
        ("\u11a8", "-ㄱ"),
        ("\u11aa", "-ㄳ"),
        ("\u11c3", "U+11C3"),
        ("\u0301", "U+0301"),
        ("\u200b", "U+200B"),
        ("\x07", "U+0007"),
    ],
)
def test_symbols_can_be_read_alone(symbol: str, shown: str) -> None:
    assert terminal_corpus.symbol_name(symbol) == shown


def test_long_texts_are_cut_by_their_width() -> None:
    assert terminal_corpus.cropped("가" * 12) == "가" * 12
    cropped = terminal_corpus.cropped("가" * 13)
    assert cropped.endswith("…")
    assert 23 <= cell_len(cropped) <= 24


# Audio that is not all read


def test_a_part_of_the_recordings_is_measured_and_reported(toy: Path) -> None:
    out = printed(toy, "--audio", 2)
    expected = "train: 2 of 4 recordings measured, evenly spaced; --all-audio measures all\n"
    assert expected in out
    assert "recordings measured, evenly" not in out.replace(expected, "")
    assert figures(toy, "--audio", 2)["splits"]["train"]["audio"]["measured"] == 2
    assert figures(toy, "--audio", 2, "--all-audio") == figures(toy)


def test_no_audio_is_read_where_none_is_wanted(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrbench.data.corpus.Split.audio", None)
    assert {split["audio"] for split in figures(toy, "--audio", 0)["splits"].values()} == {None}
    assert "Audio:" not in printed(toy, "--audio", 0)


def test_it_tells_how_far_it_is(toy: Path) -> None:
    tasks: list[tuple[str, int, int]] = []

    class Told(Silent):
        def progress(self, task: str, done: int, total: int, note: str = "") -> None:
            tasks.append((task, done, total))

    read_splits(Corpus.open(toy), "text", 2, Told())
    assert tasks[:3] == [("train: texts", 0, 4), ("train: audio", 0, 2), ("dev: texts", 0, 2)]


# The picture


def size(path: Path) -> tuple[int, int]:
    """Returns width and height of a PNG in dots, from its IHDR chunk."""
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", head[16:])
    return width, height


def size_of_panels(count: int) -> tuple[int, int]:
    """Returns the size of a picture: panels of 5.2 by 3.7 inches, a title of 0.3, 160 dpi."""
    columns = min(count, 2)
    rows = (count + 1) // 2
    return round(160 * 5.2 * columns), int(160 * (3.7 * rows + 0.3))


@pytest.mark.parametrize(("audio", "panels"), [(5000, 4), (0, 3)])
def test_the_picture(toy: Path, tmp_path: Path, audio: int, panels: int) -> None:
    path = tmp_path / "new" / "a.png"
    out = printed(toy, "--audio", audio, "--plot", path)
    assert out.splitlines()[-1] == f"wrote {path}"
    assert size(path) == size_of_panels(panels)
    assert [each.name for each in path.parent.iterdir()] == ["a.png"]


def test_the_same_corpus_is_the_same_picture(toy: Path, tmp_path: Path) -> None:
    for form in ("png", "svg"):
        for name in ("one", "other"):
            assert figures(toy, "--plot", tmp_path / f"{name}.{form}")["name"] == "toy"
        one, other = ((tmp_path / f"{name}.{form}").read_bytes() for name in ("one", "other"))
        assert one == other
    root = ElementTree.parse(tmp_path / "one.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert b"<dc:date>" not in (tmp_path / "one.svg").read_bytes()


def drawn(toy: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    panels: list[Any] = []
    monkeypatch.setattr(
        "asrbench.report.plots.corpus.draw", lambda path, given, title: panels.extend(given)
    )
    printed(toy, "--plot", path)
    return panels


def test_what_is_drawn(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train's symbols by frequency are 나 (4), 가 (3), then space and 다. With 나 alone 5 of its 9
    characters are left, with 가 2; of dev's 5 one for good."""
    durations, loudness, ranks, left = drawn(toy, tmp_path / "a.png", monkeypatch)
    assert durations.unit == "duration (s)"
    assert durations.edges == [i / 4 for i in range(15)]
    assert durations.figures["train"].tolist() == [1, 2, 3, 2]
    assert loudness.edges[0] <= -20.0 <= loudness.edges[-1] == 0
    assert {name: len(each) for name, each in loudness.figures.items()} == {
        "train": 4,
        "dev": 2,
        "test": 1,
    }
    assert ranks.figures["char, syllable: 4 symbols"].tolist() == [4, 3, 1, 1]
    assert ranks.figures["jamo: 5 symbols"].tolist() == [8, 4, 3, 1, 1]
    assert left.figures["train"] == pytest.approx([100 * n / 9 for n in (5, 2, 1, 0)])
    assert left.figures["dev"][-1] == pytest.approx(100 / 5)


def test_what_is_longer_than_the_last_bin_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Row | Utterance] = [("가", 0.1, None)] * 199
    splits = {"train": [*rows, ("나", 30.0, None)]}
    folder = write(tmp_path / "toy", splits)
    assert figures(folder)["bins_from_seconds"][-1] == 0.11
    assert re.search(r"^ *0.11 to 30 +0.5 ", printed(folder), re.MULTILINE)
    durations, *_ = drawn(folder, tmp_path / "a.png", monkeypatch)
    assert durations.unit == "duration (s); the last bin has all that is longer"


# Errors and side effects


def test_errors(toy: Path, tmp_path: Path) -> None:
    none = tmp_path / "none"
    assert error(none) == (
        f"corpus: {none} is no prepared corpus; make it with "
        f"`asrbench prep RECIPE SOURCE --out {none}`"
    )
    path = tmp_path / "a.jpg"
    assert error(toy, "--plot", path) == (
        f"--plot: found '{path}', allowed: a name that ends in .png or .svg"
    )
    (tmp_path / "b.png").mkdir()
    assert error(toy, "--plot", tmp_path / "b.png") == (
        f"--plot: {tmp_path / 'b.png'} is a folder; give the name of a file"
    )
    assert [each.name for each in tmp_path.iterdir()] == ["b.png"]


@pytest.mark.parametrize("options", [(), ("--json",), ("--all-audio",)])
def test_nothing_is_written(toy: Path, options: tuple[str, ...]) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {
            str(each): (each.stat().st_mtime_ns, each.stat().st_size)
            for each in toy.parent.rglob("*")
        }

    before = state()
    assert run(toy, *options)[0] == 0
    assert state() == before


# A real corpus


@pytest.mark.skipif(not SELVAS.is_file(), reason="the recordings are not here")
def test_real_korean_recordings(tmp_path: Path) -> None:
    folder = tmp_path / "selvas"
    prepare("table", folder, source=SELVAS, id="utt_id", split="0.8/0.1/0.1")
    found = figures(folder)
    splits = found["splits"].values()
    assert sum(split["utterances"] for split in splits) == 603 - sum(found["rejected"].values())
    assert sum(split["speakers"] for split in splits) == 20
    assert all(not each["texts"] and not each["speakers"]["count"] for each in found["overlaps"])
    char, jamo = found["units"]
    assert char["symbols"] > jamo["symbols"] >= 66
    assert char["unknown"]["dev"]["share"] > jamo["unknown"]["dev"]["share"]
    for split in splits:
        assert 4 < split["text"]["characters_per_second"] < 8
        assert -30 < split["audio"]["rms_db"]["p50"] < -15
        assert not split["audio"]["silent"]["count"]
    out = printed(folder, "--plot", tmp_path / "a.png")
    assert size(tmp_path / "a.png") == size_of_panels(4)
    assert max(cell_len(line) for line in out.splitlines() if line.startswith(" ")) <= 80
