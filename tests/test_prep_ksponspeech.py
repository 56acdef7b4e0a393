import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from doors import preparer
from kspon_tree import Marked, Spoken, composed, marked, write_tree
from typer.testing import CliRunner

from asrbench.base.errors import UserError
from asrbench.cli.app import app
from asrbench.data.audio import read_audio
from asrbench.data.corpus import Corpus
from asrbench.data.waveform import Samples
from asrbench.stages.prep import trees
from asrbench.stages.prep.kspon_files import decode_audio, decode_text
from asrbench.stages.prep.table import read_tsv

prepare = preparer("ksponspeech")

SELVAS = Path(__file__).parents[2] / "shared/data/selvas_ko"


def sound(seed: int, samples: int = 4_000) -> Samples:
    return np.random.default_rng(seed).integers(-3000, 3000, samples).astype(np.int16)


def spoken(split: str, number: str, raw: str = "어제 봤어.", samples: int = 4_000) -> Spoken:
    return Spoken(split, number, sound(int(number.removeprefix("E")), samples), raw)


FEW = [
    spoken("train", "000001", "n/ (3시)/(세 시)에 만나요."),
    spoken("train", "000002", "어/ 그래+ 그래."),
    spoken("train", "001001", "진짜*?"),
    spoken("dev", "620001", "b/ 뭐 먹을래 b/."),
    spoken("eval_clean", "E00001", "들어서.b/"),
    spoken("eval_other", "E03001", "(TV)/(티비) 봤어."),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_tree(tmp_path / "tree", FEW)
    return tmp_path / "tree"


def made(source: Path, out: Path, **options: Any) -> Corpus:
    prepare(source, out, **options)
    return Corpus.open(out)


def texts(corpus: Corpus, column: str = "text") -> dict[str, dict[str, str]]:
    """Returns the texts of a corpus by split and number."""
    return {
        name: {
            id.removeprefix("KsponSpeech_"): text
            for id, text in zip(split.ids, split.column(column), strict=True)
        }
        for name in corpus.split_names
        for split in [corpus.split(name)]
    }


def about(corpus: Corpus) -> dict[str, Any]:
    return dict(json.loads((corpus.folder / "corpus.json").read_text(encoding="utf-8")))


def listed(corpus: Corpus, file: str = "rejected.jsonl") -> list[tuple[str, str, str]]:
    lines = (corpus.folder / file).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row["id"], row["split"], row["reason"]) for row in rows]


SPELLED = {
    "train": {"000001": "3시에 만나요", "000002": "어 그래 그래", "001001": "진짜"},
    "dev": {"620001": "뭐 먹을래"},
    "eval_clean": {"E00001": "들어서"},
    "eval_other": {"E03001": "TV 봤어"},
}


# Layouts


def test_official_splits_texts_and_audio(tree: Path, tmp_path: Path) -> None:
    corpus = made(tree, tmp_path / "out")
    assert texts(corpus) == SPELLED
    assert texts(corpus, "spelling")["eval_clean"] == {"E00001": "들어서."}
    assert texts(corpus, "phonetic")["train"]["000001"] == "세 시에 만나요."
    assert texts(corpus, "raw")["dev"] == {"620001": "b/ 뭐 먹을래 b/."}
    for each in FEW:
        split = corpus.split(each.split)
        np.testing.assert_array_equal(split.audio(split.ids.index(each.id)), each.audio)
    assert listed(corpus) == []


def moved(tree: Path, layout: str) -> Path:
    """Rearranges the tree as in another kind of download."""
    match layout:
        case "lists in the root":
            for path in (tree / "KsponSpeech_scripts").iterdir():
                path.rename(tree / path.name)
        case "lists in scripts":
            (tree / "KsponSpeech_scripts").rename(tree / "scripts")
        case "no KsponSpeech_eval":
            for path in list((tree / "KsponSpeech_eval").iterdir()):
                path.rename(tree / path.name)
        case "eval in test":
            (tree / "KsponSpeech_eval").rename(tree / "test")
        case "AI Hub's folders":
            for path in list(tree.iterdir()):
                folder = {"KsponSpeech_eval": "평가용_데이터", "KsponSpeech_scripts": "스크립트"}
                home = tree / folder.get(path.name, "한국어_음성_분야")
                home.mkdir(exist_ok=True)
                path.rename(home / path.name)
        case "named wav, and headless still":
            for path in tree.rglob("*.pcm"):
                path.rename(path.with_suffix(".wav"))
        case "no lists":
            shutil.rmtree(tree / "KsponSpeech_scripts")
        case "no texts":
            for path in tree.rglob("*.txt"):
                path.unlink()
        case "lists in cp949":
            for path in tree.rglob("*.trn"):
                path.write_bytes(path.read_text(encoding="utf-8").encode("cp949"))
        case "lists with a mark, in CRLF":
            for path in tree.rglob("*.trn"):
                path.write_bytes(
                    path.read_text(encoding="utf-8").replace("\n", "\r\n").encode("utf-8-sig")
                )
        case "the same list twice":
            shutil.copytree(tree / "KsponSpeech_scripts", tree / "scripts")
        case "one zip":
            return packed(tree, tree.with_suffix(".zip"), [*tree.rglob("*")])
        case "a zip each":
            for folder in list(tree.iterdir()):
                packed(tree, tree / f"{folder.name}.zip", [*folder.rglob("*")])
                shutil.rmtree(folder)
        case "one zip without lists":
            return moved(moved(tree, "no lists"), "one zip")
        case "zips beside their unpacked folders":
            for folder in list(tree.iterdir()):
                packed(tree, tree / f"{folder.name}.zip", [*folder.rglob("*")])
    return tree


def packed(root: Path, path: Path, files: list[Path]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(files):
            if file.is_file():
                archive.write(file, file.relative_to(root))
    return path


@pytest.mark.parametrize(
    "layout",
    [
        *("lists in the root", "lists in scripts", "no KsponSpeech_eval", "eval in test"),
        *("AI Hub's folders", "named wav, and headless still", "no lists", "no texts"),
        *("lists in cp949", "lists with a mark, in CRLF", "the same list twice"),
        *("one zip", "a zip each", "one zip without lists", "zips beside their unpacked folders"),
    ],
)
def test_every_layout_gives_the_same_corpus(tree: Path, tmp_path: Path, layout: str) -> None:
    expected = made(tree, tmp_path / "expected")
    corpus = made(moved(tree, layout), tmp_path / "out")
    assert texts(corpus) == texts(expected)
    assert corpus.fingerprint == expected.fingerprint
    assert listed(corpus) == []


def test_a_member_that_points_outside_is_refused(tree: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../KsponSpeech_000001.pcm", b"\0\0")
    with pytest.raises(UserError, match=r"evil.zip: its member '../../Kspon.*' points outside"):
        prepare(tmp_path / "evil.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_zip_that_was_cut_short_is_one_line(tree: Path, tmp_path: Path) -> None:
    whole = moved(tree, "one zip").read_bytes()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "KsponSpeech_01.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"KsponSpeech_01.zip: cannot be read as a zip"):
        prepare(tmp_path / "half", tmp_path / "out")


@pytest.mark.parametrize("suffix", [".trn", ".pcm"])
def test_a_damaged_member_is_one_line_or_one_rejection(
    tree: Path, tmp_path: Path, suffix: str
) -> None:
    """The first byte of the deflated stream names an unknown kind of block."""
    path = moved(tree, "one zip")
    with zipfile.ZipFile(path) as archive:
        member = next(each for each in archive.infolist() if each.filename.endswith(suffix))
    damaged = bytearray(path.read_bytes())
    damaged[member.header_offset + 30 + len(member.filename)] = 0xFF
    path.write_bytes(damaged)
    if suffix == ".trn":
        with pytest.raises(UserError, match=rf"{member.filename}: .*; download it again"):
            prepare(path, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    else:
        corpus = made(path, tmp_path / "out")
        assert [reason for _, _, reason in listed(corpus)] == ["unreadable"]


def test_an_evaluation_file_in_the_list_of_train_is_in_none_of_its_folders(
    tree: Path, tmp_path: Path
) -> None:
    with (tree / "KsponSpeech_scripts" / "train.trn").open("a", encoding="utf-8") as file:
        file.write("KsponSpeech_eval/eval_clean/KsponSpeech_E00001.pcm :: 들어서\n")
    assert "E00001" in texts(made(tree, tmp_path / "all"))["train"]
    some = texts(made(tree, tmp_path / "some", folders="0001..0002"))
    assert "E00001" not in some["train"] | some["dev"]


def test_two_lists_that_differ_are_refused(tree: Path, tmp_path: Path) -> None:
    moved(tree, "the same list twice")
    with (tree / "scripts" / "dev.trn").open("a", encoding="utf-8") as file:
        file.write("KsponSpeech_05/KsponSpeech_0621/KsponSpeech_620002.pcm :: 응\n")
    with pytest.raises(UserError, match=r"two different dev.trn, Kspon.*/dev.trn and scripts/dev"):
        prepare(tree, tmp_path / "out")


def test_a_folder_without_the_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: found none of KsponSpeech's audio there"):
        prepare(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(UserError, match=r"nowhere: found neither a folder nor a zip"):
        prepare(tmp_path / "nowhere", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


# Missing and broken files


def test_a_partial_download_works_and_says_what_is_missing(tree: Path, tmp_path: Path) -> None:
    shutil.rmtree(tree / "KsponSpeech_eval" / "eval_other")
    shutil.rmtree(tree / "KsponSpeech_01" / "KsponSpeech_0002")
    (tree / "KsponSpeech_01/KsponSpeech_0001/KsponSpeech_000002.pcm").unlink()
    corpus = made(tree, tmp_path / "out")
    assert {name: list(split) for name, split in texts(corpus).items()} == {
        "train": ["000001"],
        "dev": ["620001"],
        "eval_clean": ["E00001"],
    }
    assert listed(corpus) == [
        ("KsponSpeech_000002", "train", "missing"),
        ("KsponSpeech_0002", "train", "folder not there"),
        ("eval_other", "eval_other", "folder not there"),
    ]
    with pytest.raises(UserError, match=r"1 utterances rejected \(1 missing\)"):
        prepare(tree, tmp_path / "strict", strict=True)


def test_audio_in_no_list_is_told(tree: Path, tmp_path: Path) -> None:
    """Numbers give the split of a train file, and not that of an evaluation file."""
    for split in ("train", "eval_clean"):
        (tree / "KsponSpeech_scripts" / f"{split}.trn").unlink()
    (tree / "KsponSpeech_eval/eval_clean").rename(tree / "KsponSpeech_eval/somewhere")
    corpus = made(tree, tmp_path / "out")
    assert texts(corpus) == {k: v for k, v in SPELLED.items() if k != "eval_clean"}
    assert listed(corpus) == [("KsponSpeech_E00001", "", "in no list")]


def test_lines_that_are_none_are_listed(tree: Path, tmp_path: Path) -> None:
    with (tree / "KsponSpeech_scripts" / "train.trn").open("a", encoding="utf-8") as file:
        file.write("\nno line at all\nx/KsponSpeech_000001.pcm :: 또\nx/other.pcm :: 응\n")
    corpus = made(tree, tmp_path / "out")
    assert texts(corpus) == SPELLED
    assert listed(corpus) == [
        ("", "train", "line that is not 'path :: text'"),
        ("KsponSpeech_000001", "train", "duplicate id"),
        ("", "train", "line that is not 'path :: text'"),
    ]


def test_a_separator_in_the_text_is_text(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", [spoken("train", "000001", "이것 :: 저것"), *FEW[1:]])
    assert texts(made(tmp_path / "tree", tmp_path / "out"), "raw")["train"]["000001"] == (
        "이것 :: 저것"
    )


def test_broken_audio_is_rejected_with_its_reason(tree: Path, tmp_path: Path) -> None:
    folder = tree / "KsponSpeech_01/KsponSpeech_0001"
    (folder / "KsponSpeech_000001.pcm").write_bytes(b"")
    (folder / "KsponSpeech_000002.pcm").write_bytes(b"\1\0" * 399)
    corpus = made(tree, tmp_path / "out")
    assert listed(corpus) == [
        ("KsponSpeech_000001", "train", "empty file"),
        ("KsponSpeech_000002", "train", "shorter than a frame"),
    ]


def test_a_text_of_nothing_but_marks_is_rejected(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", [spoken("train", "000003", "b/ n/ ."), *FEW])
    assert listed(made(tmp_path / "tree", tmp_path / "out")) == [
        ("KsponSpeech_000003", "train", "text empty after normalisation")
    ]


def test_odd_bytes_are_counted_and_dropped_from_the_end(tree: Path, tmp_path: Path) -> None:
    corpus = made(tree, tmp_path / "out", strict=True)
    assert about(corpus)["remarks"]["odd_trailing_byte"] == 2
    assert ("KsponSpeech_E00001", "eval_clean", "odd_trailing_byte") in listed(
        corpus, "remarks.jsonl"
    )


def test_audio_is_read_by_what_it_is(tmp_path: Path) -> None:
    wave = sound(0)
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="PCM_16")
    headed = (tmp_path / "a.wav").read_bytes()
    for data, name, remarks in (
        (wave.tobytes(), "a.pcm", ()),
        (wave.tobytes() + b"\7", "a.pcm", ("odd_trailing_byte",)),
        (headed, "a.pcm", ("RIFF header under the name of a headless file",)),
        (headed, "a.wav", ()),
    ):
        audio, found = decode_audio(data, name)
        np.testing.assert_array_equal(audio, wave)
        assert found == remarks


@pytest.mark.parametrize(
    "text", ["그래", "책.", "커", "첫", "맻 냬 깄 왤 늫", "(TV)/(티비) 100%", "ab"]
)
@pytest.mark.parametrize("encoding", ["cp949", "utf-8", "utf-8-sig"])
def test_a_short_text_is_decoded_by_what_comes_out(text: str, encoding: str) -> None:
    """UTF-8 bytes of 그래 are valid cp949 (洹몃옒); cp949 bytes of 책. are valid UTF-8."""
    assert decode_text(f" {text}\r\n".encode(encoding), "a.txt") == text


def test_a_text_in_another_encoding_is_rejected(tree: Path, tmp_path: Path) -> None:
    shutil.rmtree(tree / "KsponSpeech_scripts")
    path = tree / "KsponSpeech_01/KsponSpeech_0001/KsponSpeech_000001.txt"
    path.write_bytes("어제".encode("utf-16"))
    assert listed(made(tree, tmp_path / "out")) == [
        ("KsponSpeech_000001", "train", "text neither cp949 nor UTF-8")
    ]


# Selections


@pytest.mark.parametrize(
    ("side", "punctuation", "expected"),
    [
        ("spelling", "none", "3시에 만나요"),
        ("spelling", "sentence", "3시에 만나요."),
        ("phonetic", "none", "세 시에 만나요"),
        ("phonetic", "sentence", "세 시에 만나요."),
    ],
)
def test_text_is_the_side_that_was_asked_for(
    tree: Path, tmp_path: Path, side: Any, punctuation: Any, expected: str
) -> None:
    corpus = made(tree, tmp_path / "out", side=side, punctuation=punctuation)
    assert texts(corpus)["train"]["000001"] == expected
    assert about(corpus)["text_profile"] == f"{side}, punctuation {punctuation}"


def many(folders: int, each: int) -> Iterator[Spoken]:
    for folder in range(folders):
        for k in range(each):
            yield spoken("train", f"{1000 * folder + k + 1:06d}", samples=400)


def test_folders_and_limit_make_train_smaller(tmp_path: Path) -> None:
    dev = [spoken("dev", "620001"), spoken("dev", "620002")]
    write_tree(tmp_path / "tree", [*many(4, 10), *dev])
    tree = tmp_path / "tree"
    some = made(tree, tmp_path / "a", folders="KsponSpeech_01/KsponSpeech_0002..0003")
    assert set(texts(some)["train"]) == {
        f"{1000 * folder + k:06d}" for folder in (1, 2) for k in range(1, 11)
    }
    assert len(texts(some)["dev"]) == 2
    assert about(some)["selection"] == {
        "train_found": 40,
        "folders": "0002..0003",
        "limit": None,
        "dev": "official",
    }
    assert set(texts(made(tree, tmp_path / "b", folders="0004"))["train"]) == {
        f"{3000 + k:06d}" for k in range(1, 11)
    }
    few = made(tree, tmp_path / "c", limit=7)
    assert len(texts(few)["train"]) == 7
    again = made(tree, tmp_path / "d", limit=7)
    assert again.fingerprint == few.fingerprint
    assert made(tree, tmp_path / "e", limit=7, seed=1).fingerprint != few.fingerprint
    # Of fewer the same: what 7 have, 9 have.
    assert set(texts(few)["train"]) < set(texts(made(tree, tmp_path / "f", limit=9))["train"])


def test_dev_is_never_empty(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", many(2, 30))
    corpus = made(tmp_path / "tree", tmp_path / "out")
    found = texts(corpus)
    assert (len(found["train"]), len(found["dev"])) == (57, 3)
    assert not set(found["train"]) & set(found["dev"])
    assert about(corpus)["selection"]["dev"] == "3 drawn from train, seed 0"
    tiny = texts(made(tmp_path / "tree", tmp_path / "tiny", limit=2))
    assert (len(tiny["train"]), len(tiny["dev"])) == (1, 1)


@pytest.mark.parametrize("folders", ["0003..0002", "0000", "KsponSpeech", "1..2", ""])
def test_folders_that_are_none_are_refused(tree: Path, tmp_path: Path, folders: str) -> None:
    with pytest.raises(UserError, match=f"--folders: found '{folders}', allowed: one folder or"):
        prepare(tree, tmp_path / "out", folders=folders)


def test_an_empty_selection_is_refused(tree: Path, tmp_path: Path) -> None:
    expected = r"--folders: none of the 3 utterances of train that are here is in KsponSpeech_0007"
    with pytest.raises(UserError, match=expected):
        prepare(tree, tmp_path / "out", folders="0007")
    with pytest.raises(UserError, match=r"--limit: found 1, allowed: 2 or more"):
        prepare(tree, tmp_path / "out", limit=1)


# Published figures


def test_checks_hold_against_what_others_counted(tree: Path, tmp_path: Path) -> None:
    """A split of 3,000 utterances is complete and is compared; a smaller one is not."""
    raws = ["(2월)/(이 월)에 TV 봤어.", "3번 더", "응", "그래 그래 알겠어 진짜"]
    whole = [spoken("eval_clean", f"E{k + 1:05d}", raws[k % 4], 400) for k in range(3_000)]
    write_tree(tmp_path / "whole", whole)
    rows = {
        (row["figure"], row["split"]): row
        for row in about(made(tmp_path / "whole", tmp_path / "out"))["checks"]
    }
    assert {split for _, split in rows} == {"eval_clean"}
    found = {figure: (row["found"], row["agrees"]) for (figure, _), row in rows.items()}
    assert found == {
        "utterances": (3_000, True),
        "hours": (0.02, False),
        "odd trailing byte": (3_000, True),
        "digit outside a dual": (750, False),
        "characters, spelling": (750 * (7 + 3 + 1 + 9), False),
        "words, spelling": (750 * (3 + 2 + 1 + 4), False),
        "under 5 syllables": (750 * 3, False),
        "with Latin letters": (750, False),
    }
    part = about(made(tree, tmp_path / "part"))["checks"]
    assert {row["agrees"] for row in part} == {None}


# Reproducibility


def test_jobs_and_the_order_of_the_listing_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path / "tree", composed(60, 0.2, seed=3))
    prepare(tmp_path / "tree", tmp_path / "one")
    listing = os.walk

    def backwards(*arguments: Any, **options: Any) -> Iterator[Any]:
        for folder, folders, files in listing(*arguments, **options):
            folders.reverse()
            yield folder, folders, files[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    prepare(tmp_path / "tree", tmp_path / "four", jobs=4)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "four").iterdir())
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "four" / name).read_bytes()


@pytest.mark.slow
def test_killed_at_any_moment_it_leaves_nothing_that_looks_prepared(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", composed(400, 0.5, seed=0))
    expected = made(tmp_path / "tree", tmp_path / "expected").fingerprint
    command = [sys.executable, "-m", "asrbench", "prep", "ksponspeech", str(tmp_path / "tree")]
    out = tmp_path / "data" / "out"
    seen = set()
    for patience in (0.1, 0.3, 0.6, 1.0):
        process = subprocess.Popen(
            [*command, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and not (tmp_path / "data" / ".out.tmp").exists():
            time.sleep(0.01)
        time.sleep(patience / 10)
        process.send_signal(signal.SIGKILL)
        seen.add(process.wait())
        if out.exists():
            assert Corpus.open(out).fingerprint == expected
            shutil.rmtree(out)
    assert -signal.SIGKILL in seen
    assert made(tmp_path / "tree", out).fingerprint == expected
    assert sorted(path.name for path in out.parent.iterdir()) == ["out"]


# Round trips


def test_marks_drawn_by_the_rules_come_off_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    given = {
        f"{k + 1:06d}": marked("오늘은 날씨가 정말 좋아서 산책을 했어요.", rng) for k in range(200)
    }
    write_tree(
        tmp_path / "tree",
        [Spoken("train", number, sound(0, 400), text.raw) for number, text in given.items()],
    )
    round_trip(tmp_path, given)


@pytest.mark.skipif(not SELVAS.exists(), reason="needs the shared data")
def test_real_speech_written_as_ksponspeech_comes_back(tmp_path: Path) -> None:
    """Writes SELVAS as KsponSpeech, with marks and surplus bytes, and gets texts and audio back."""
    rng = np.random.default_rng(0)
    table = SELVAS / "transcripts.tsv"
    _, rows = read_tsv(table, table.read_text(encoding="utf-8"))
    given: dict[str, Marked] = {}
    waves: dict[str, Samples] = {}
    tree: list[Spoken] = []
    plain = [r.cells for r in rows if set(r.cells["text"] or "") <= PLAIN | HANGUL]
    assert len(plain) > 300
    for k, cells in enumerate(plain):
        split = "eval_other" if k % 7 == 0 else "train"
        number = f"E{k + 1:05d}" if split == "eval_other" else f"{k + 1:06d}"
        given[number] = marked(str(cells["text"]), rng)
        waves[number] = read_audio(SELVAS / str(cells["audio"]))
        tree.append(Spoken(split, number, waves[number], given[number].raw))
    write_tree(tmp_path / "tree", tree, lists=None)
    corpus = round_trip(tmp_path, given)
    for name in corpus.split_names:
        split = corpus.split(name)
        for i, id in enumerate(split.ids):
            np.testing.assert_array_equal(split.audio(i), waves[id.removeprefix("KsponSpeech_")])
    assert about(corpus)["remarks"]["odd_trailing_byte"] == sum(n[0] == "E" for n in given)


PLAIN = set(" .?!,")
HANGUL = {chr(code) for code in range(ord("가"), ord("힣") + 1)}


def round_trip(tmp_path: Path, given: dict[str, Marked]) -> Corpus:
    corpus = made(tmp_path / "tree", tmp_path / "out", strict=True, jobs=2)
    for column in ("raw", "spelling", "phonetic"):
        found = {id: t for split in texts(corpus, column).values() for id, t in split.items()}
        assert found == {number: getattr(text, column) for number, text in given.items()}
    return corpus


# The command


def test_the_command_shows_figures_and_remarks(tree: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        [
            *("prep", "ksponspeech", str(tree), "--out", str(tmp_path / "out")),
            *("--side", "phonetic", "--punctuation", "sentence", "--jobs", "2"),
        ],
    )
    assert result.exit_code == 0, result.output
    assert "2 kept, with odd_trailing_byte" in result.output
    assert "because incomplete: train, dev, eval_clean, eval_other;" in result.output
    assert texts(Corpus.open(tmp_path / "out"))["eval_other"] == {"E03001": "티비 봤어."}


def test_the_command_says_which_figures_agree(tmp_path: Path) -> None:
    whole = [spoken("eval_clean", f"E{k + 1:05d}", "응", 400) for k in range(3_000)]
    write_tree(tmp_path / "tree", [*whole, *FEW[:3]])
    result = CliRunner().invoke(
        app, ["prep", "ksponspeech", str(tmp_path / "tree"), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ["utterances", "eval_clean", "3,000", "3,000", "agrees"] in lines
    assert ["hours", "eval_clean", "0.02", "2.55", "to", "2.65", "differs"] in lines
    assert "because incomplete: train, dev;" in result.output


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["prep", "ksponspeech", str(tmp_path / "no"), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    assert "found neither a folder nor a zip" in result.output.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


def test_a_text_without_audio_is_rejected(tree: Path, tmp_path: Path) -> None:
    folder = tree / "KsponSpeech_01" / "KsponSpeech_0001"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "KsponSpeech_000999.txt").write_bytes("어제 봤어.".encode("cp949"))
    corpus = made(tree, tmp_path / "out")
    assert ("KsponSpeech_000999", "train", "missing") in listed(corpus)


def test_a_bomb_in_a_zip_is_one_rejection(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "MOST_BYTES", 100_000)
    path = tree / "KsponSpeech_01" / "KsponSpeech_0001" / "KsponSpeech_000001.pcm"
    path.write_bytes(bytes(100_001))
    corpus = made(tree, tmp_path / "out")
    assert ("KsponSpeech_000001", "train", "unreadable") in listed(corpus)
