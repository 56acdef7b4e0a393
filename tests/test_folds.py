"""Cross-validation: the folds of a corpus, runs that are trained without one, and their comparison.

The study of the fixture `studied` is trained twice: by `folds: 3`, and written by hand as three
corpora with a run each.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
import soundfile
from comparisons import compare_texts
from doors import error, prepare, run
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kill import PROGRAM
from tones import SMALL, cell_of, same_weights, spoken, trained

from asrbench import compare, score
from asrbench.base.files import read_json, read_jsonl, write_json
from asrbench.data.corpus import Corpus
from asrbench.data.corpus_writer import CorpusWriter, Utterance
from asrbench.data.folds import SPLITS, CorpusFold, partition
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec_file import load_study
from asrbench.training.setup import set_up

AN4 = Path(__file__).parents[2] / "shared" / "data" / "an4" / "transcripts.tsv"
FOLDS = 3

# The folds of a corpus

names = st.text("abcdefgh", min_size=1, max_size=3)
sizes = st.dictionaries(names, st.integers(1, 50), max_size=30)


def test_the_largest_goes_to_the_smallest_part_so_far():
    """7 | 6 | 5, then 4 joins 5, 3 joins 6, 2 joins 7 (all 9), and 1 the first of three equals."""
    names = {"g": 7, "f": 6, "e": 5, "d": 4, "c": 3, "b": 2, "a": 1}
    assert partition(names, 3) == [["g", "b", "a"], ["f", "c"], ["e", "d"]]


@given(sizes, st.integers(1, 6))
def test_a_partition_has_every_name_once_and_is_balanced(sizes, count):
    parts = partition(sizes, count)
    assert sorted(name for part in parts for name in part) == sorted(sizes)
    assert parts == partition(dict(reversed(sizes.items())), count)
    totals = [sum(sizes[name] for name in part) for part in parts]
    assert max(totals) - min(totals) <= max(sizes.values(), default=0)
    assert all(parts) or len(sizes) < count


Row = tuple[str, str | None, str, str]
"""Split, speaker, id and text of an utterance, which is as long as its text."""


def write_corpus(folder: Path, rows: list[Row]) -> Corpus:
    with CorpusWriter.create(
        folder, name="tones", recipe="test", source="tones", text_profile="verbatim", strict=True
    ) as writer:
        for split, speaker, id, text in rows:
            writer.add(split, Utterance(id, spoken(text), text, speaker=speaker))
    return Corpus.open(folder)


def folds_of(corpus: Corpus, count: int) -> list[CorpusFold]:
    return [CorpusFold.of(corpus, index, count) for index in range(1, count + 1)]


def ids(corpus: Corpus) -> dict[str, set[str]]:
    return {name: set(corpus.split(name).ids) for name in SPLITS}


@st.composite
def corpora(draw: st.DrawFn) -> list[Row]:
    known = draw(st.booleans())
    count = draw(st.integers(6, 20))
    rows = []
    for i in range(count):
        split = ("train", "dev", "test", "other")[i if i < 4 else draw(st.integers(0, 3))]
        speaker = f"s{i if i < 6 else draw(st.integers(0, 8))}" if known or i % 2 else None
        rows.append((split, speaker, f"u{i}", draw(st.text("ab", min_size=1, max_size=3))))
    return rows


@settings(max_examples=40, deadline=None)
@given(corpora(), st.integers(3, 5))
def test_folds_test_every_utterance_once_and_share_no_speaker(tmp_path_factory, rows, count):
    corpus = write_corpus(tmp_path_factory.mktemp("folds") / "corpus", rows)
    whole = corpus.whole
    assert sorted(whole.ids) == sorted(id for *_, id, _ in rows)
    folds = folds_of(corpus, count)
    tested = [id for fold in folds for id in fold.split("test").ids]
    assert sorted(tested) == sorted(whole.ids)
    known = all(speaker for _, speaker, _, _ in rows)
    for fold in folds:
        found = ids(fold)
        assert all(found.values())
        assert sum(map(len, found.values())) == len(set.union(*found.values())) == len(rows)
        if known:
            speakers = [set(fold.split(name).column("speaker")) for name in SPLITS]
            assert sum(map(len, speakers)) == len(set.union(*speakers))


def test_a_fold_has_the_audio_and_the_texts_of_its_utterances(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", ROWS)
    places = {id: place for place, id in enumerate(corpus.whole.ids)}
    texts = {id: text for *_, id, text in ROWS}
    split = CorpusFold.of(corpus, 2, 3).split("train")
    assert split.texts == [texts[id] for id in split.ids]
    assert split.samples.tolist() == [len(spoken(texts[id])) for id in split.ids]
    for i, id in enumerate(split.ids):
        assert np.array_equal(split.audio(i), spoken(texts[id]))
        assert np.array_equal(split.audio(i), corpus.whole.audio(places[id]))


@pytest.mark.skipif(not AN4.is_file(), reason="needs AN4 in ../shared")
def test_five_folds_of_an4(tmp_path):
    """1,078 utterances of 84 speakers, 48.39 min. Dev has the share that 100 of 948 utterances
    have in train and dev: a ninth of what is left of 38.7 min."""
    prepare("table", tmp_path / "an4", source=AN4, dev=100)
    folds = folds_of(Corpus.open(tmp_path / "an4"), 5)
    tests = [fold.split("test") for fold in folds]
    assert sum(map(len, tests)) == 1078
    assert [len(set(test.column("speaker"))) for test in tests] == [17, 16, 17, 17, 17]
    assert [60 * test.hours for test in tests] == pytest.approx([48.39 / 5] * 5, rel=0.03)
    shares = [f.split("dev").hours / (f.split("dev").hours + f.split("train").hours) for f in folds]
    assert shares == pytest.approx([0.107] * 5, abs=0.005)


@pytest.mark.parametrize(
    ("speakers", "count", "found"),
    [("abc", 4, "3 speakers"), ("abc", 2, "3 speakers"), (["", "b"], 5, "4 utterances")],
)
def test_too_few_speakers_are_one_line_and_leave_nothing(tmp_path, speakers, count, found):
    rows = [
        (("train", "dev", "test", "test")[i], speakers[i % len(speakers)] or None, f"u{i}", "ab")
        for i in range(4)
    ]
    corpus = write_corpus(tmp_path / "corpus", rows)
    spec = tmp_path / "study.yaml"
    spec.write_text(SMALL.format(corpus=corpus.folder) + f"folds: {count}\n")
    assert error("train", spec, "--results", tmp_path / "results") == (
        f"{corpus.folder}: found {found}, which cannot be divided into {count} folds: each needs "
        f"at least one, and has to leave two for train and dev"
    )
    assert not (tmp_path / "results").exists()


# Runs of folds

_random = Random(0)
ROWS = [
    (
        {2: "test", 5: "dev", 7: "more"}.get(speaker, "train"),
        f"s{speaker}",
        f"s{speaker}-{i}",
        "".join(_random.choices("abc", k=_random.randint(2, 4))),
    )
    for speaker in range(9)
    for i in range(3 + speaker % 2)
]
"""Nine speakers in four splits, one more than a corpus must have; no two say the same."""
STUDY = """
variants:
  ds2:
  ds2_wide: {model: {name: ds2_wide, encoder: {recurrence: {width: 40}}}}
seeds: [0, 1]
"""


def by_hand(folder: Path, fold: CorpusFold, whole: Corpus) -> Path:
    """Writes the corpus that has the splits of `fold`.

    Its fingerprint is set to that of the whole corpus, because it decides the order of batches.
    """
    speakers = {id: speaker for _, speaker, id, _ in ROWS}
    rows = [
        (name, speakers[id], id, text)
        for name in SPLITS
        for id, text in zip(fold.split(name).ids, fold.split(name).texts, strict=True)
    ]
    write_corpus(folder, rows)
    pretend(folder, whole)
    return folder


def pretend(folder: Path, other: Corpus) -> None:
    """Gives the corpus in `folder` the fingerprint of `other`."""
    about = read_json(folder / "corpus.json")
    write_json(folder / "corpus.json", about | {"fingerprint": other.fingerprint})


def spec_of(path: Path, corpus: Path, more: str = "") -> Path:
    path.write_text(SMALL.format(corpus=corpus) + STUDY + more)
    return path


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variants with two seeds, trained and evaluated by `folds: 3` and by hand."""
    home = tmp_path_factory.mktemp("folds")
    corpus = write_corpus(home / "corpus", ROWS)
    specs = {"folded": spec_of(home / "study.yaml", corpus.folder, f"folds: {FOLDS}\n")}
    for number, fold in enumerate(folds_of(corpus, FOLDS), start=1):
        path = by_hand(home / f"corpus{number}", fold, corpus)
        specs[f"hand{number}"] = spec_of(home / f"hand{number}.yaml", path)
    for name, spec in specs.items():
        command = ["train", spec, "--results", home / name, "--set", "train.epochs=4"]
        assert run(*command, "--device", "cpu")[0] == 0
        assert run("eval", home / name, "--device", "cpu")[0] == 0
    return home


def runs_in(folder: Path) -> dict[tuple[str, int, int], Run]:
    """The runs by variant, seed and number of the fold, which is 0 without folds."""
    runs = Run.find([folder])
    cells = {each: each.cell for each in runs}
    return {(c.variant, c.seed, c.fold.index if c.fold else 0): r for r, c in cells.items()}


def test_a_run_of_each_fold_equals_the_run_on_a_corpus_with_these_splits(studied):
    folded = runs_in(studied / "folded")
    assert len(folded) == 2 * 2 * FOLDS
    for (variant, seed, fold), found in folded.items():
        hand = runs_in(studied / f"hand{fold}")[variant, seed, 0]
        assert found.folder.name.startswith(f"seed{seed}-fold{fold}of{FOLDS}-")
        assert same_weights(found, hand, "best")
        rows = [read_jsonl(each.hypotheses_path("test", "greedy")) for each in (found, hand)]
        assert rows[0] == rows[1] != []
        figures = [each.scores()["test"]["greedy"] for each in (found, hand)]
        assert figures[0]["characters"] == figures[1]["characters"]
        assert read_jsonl(found.excluded_path) == read_jsonl(hand.excluded_path)


def joined_by_hand(studied: Path) -> dict[str, list[list[dict[str, str]]]]:
    """For each variant, the rows of each seed: those of the three runs one after another."""
    hands = [runs_in(studied / f"hand{fold}") for fold in range(1, FOLDS + 1)]
    return {
        variant: [
            [
                row
                for hand in hands
                for row in read_jsonl(hand[variant, seed, 0].hypotheses_path("test", "greedy"))
            ]
            for seed in (0, 1)
        ]
        for variant in ("ds2", "ds2_wide")
    }


def test_the_comparison_is_that_of_the_joined_hypotheses(studied):
    study = compare(studied / "folded", replicates=500)
    rows = joined_by_hand(studied)
    first = rows["ds2"][0]
    assert study.utterances == len(ROWS) == len(first)
    references = [row["reference"] for row in first]
    texts = {name: [[row["hypothesis"] for row in run] for run in rows[name]] for name in rows}
    speakers = [row["speaker"] for row in first]
    expected = compare_texts(references, texts, speakers=speakers, replicates=500)
    assert study.critical == expected.critical
    for found, hand in zip(study.systems, expected.systems, strict=True):
        for name in ("trained", "cer", "wer", "swer", "jer", "interval", "difference", "n"):
            assert getattr(found, name) == getattr(hand, name)
        assert found.tests == hand.tests
        assert found.trained
        cers = [score(references, each).cer for each in texts[found.label]]
        assert [each.cer for each in found.runs] == cers
    assert (study.folds, study.speakers, study.seeds) == (FOLDS, 9, (0, 1))
    assert study.title.startswith("3 folds of corpus (")
    assert any("the whole corpus was tested by 3 folds" in note for note in study.notes)
    assert study.dev is None
    assert not any("scores.json says" in note for note in study.notes)
    # One row a seed, whose name is the pattern of its run folders.
    for found, seed in zip(study.systems[0].runs, (0, 1), strict=True):
        pattern = Path(found.run)
        assert pattern.name == f"seed{seed}-fold*of3-*"
        assert len(list(pattern.parent.glob(pattern.name))) == FOLDS
    assert len(study.specs) == len(study.environments) == 2 * 2 * FOLDS


def test_the_command_writes_every_view_of_folds(studied, tmp_path):
    code, out, _ = run(
        *("compare", studied / "folded", "--out", tmp_path, "--replicates", "200"),
        *("--corpus", studied / "corpus"),
    )
    assert code == 0
    assert "note: the whole corpus was tested by 3 folds" in out
    rows = (tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()
    patterns = ["seed0-fold*of3-*", "seed1-fold*of3-*"]
    assert [row.rpartition("/")[2] for row in rows[1:]] == 2 * patterns
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "the whole corpus, by 3 folds" in page
    # Audio of utterances of every split of the corpus, not of its test split alone.
    assert re.search(r"\d+ of them have audio \(Opus\)", page)
    (study,) = json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))["studies"]
    assert study["folds"] == 3


def test_a_run_of_a_fold_is_evaluated_transcribed_and_inspected(studied, tmp_path):
    found = runs_in(studied / "folded")["ds2_wide", 0, 2]
    fold = CorpusFold.of(Corpus.open(studied / "corpus"), 2, FOLDS)
    assert run("eval", found, "--split", "dev", "--split", "train")[0] == 0
    for split in ("dev", "train"):
        rows = read_jsonl(found.hypotheses_path(split, "greedy"))
        assert [row["id"] for row in rows] == fold.split(split).ids
    assert error("eval", found, "--split", "eval_clean").endswith("allowed: train, dev, test")
    assert "left out" in error("compare", studied / "folded", "--split", "dev")
    wave = tmp_path / "one.wav"
    soundfile.write(wave, fold.split("test").audio(0), SAMPLE_RATE_HZ)
    (heard,) = [
        row["hypothesis"]
        for row in read_jsonl(found.hypotheses_path("test", "greedy"))
        if row["id"] == fold.split("test").ids[0]
    ]
    assert run("transcribe", found, wave)[1] == f"{wave}\t{heard}\n"
    assert run("inspect", found, "--split", "test", "--count", "1", "--device", "cpu")[0] == 0
    assert read_json(found.inspect_path("test"))["utterances"][0]["id"] in fold.split("test").ids


def test_plan_and_fold_choose_among_the_folds(studied, tmp_path):
    spec = studied / "study.yaml"
    code, out, _ = run("train", spec, "--dry-run", "--seed", "4", "--fold", "3", "--fold", "1")
    assert code == 0
    assert re.findall(r"(\S+/seed.*)-[0-9a-f]{8} ", out) == [
        f"{variant}/seed4-fold{fold}of3" for variant in ("ds2", "ds2_wide") for fold in (1, 3)
    ]
    assert error("train", spec, "--dry-run", "--fold", "4") == (
        f"{spec}: --fold: found 4, allowed: 1 to 3"
    )
    assert error("train", spec, "--dry-run", "--set", "fold.index=1").startswith(
        "--set fold: found an unknown key"
    )
    sets = ["--set", "train.epochs=4", "--results", studied / "folded"]
    code, out, _ = run("plan", spec, "--json", "--only", "ds2", "--device", "cpu", *sets)
    assert code == 0
    planned = json.loads(out)["runs"]
    assert [(each["seed"], each["fold"], each["status"]) for each in planned] == [
        (seed, fold, "done") for seed in (0, 1) for fold in (1, 2, 3)
    ]


def test_runs_of_folds_are_trained_in_parallel(studied, tmp_path):
    sets = ["--set", "train.epochs=1", "--results", tmp_path, "--device", "cpu"]
    only = ["--only", "ds2", "--seed", "0", "--fold", "1", "--fold", "2"]
    code, out, _ = run("train", studied / "study.yaml", "--parallel", "2", *only, *sets)
    assert code == 0
    assert sorted(runs_in(tmp_path)) == [("ds2", 0, 1), ("ds2", 0, 2)]
    assert "seed 0 fold 2 of 3" in out
    assert all(each.done for each in Run.find([tmp_path]))


def test_a_fold_that_was_killed_and_resumed_equals_one_that_was_never_stopped(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", ROWS)
    sets = ["train.epochs=3", "run.checkpoint_minutes=1e-6", "train.batch_seconds=8", "folds=3"]
    spec = tmp_path / "tiny.yaml"
    spec.write_text(SMALL.format(corpus=corpus.folder))
    cell = load_study(spec, sets).cells[1]
    assert cell.fold is not None
    (tmp_path / "cell.json").write_text(cell.model_dump_json())
    arguments = [str(tmp_path / "cell.json"), str(tmp_path / "killed"), "7"]
    subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True)
    (found,) = Run.find([tmp_path / "killed"])
    assert 1 <= len(found.history()) < 3
    whole, resumed = trained(cell, tmp_path / "whole"), trained(cell, tmp_path / "killed")
    assert resumed == found
    assert same_weights(whole, resumed)
    assert same_weights(whole, resumed, "best")


# Nothing of the test fold is seen in training


def test_training_does_not_depend_on_the_fold_it_is_tested_on(tmp_path):
    """Other texts, symbols and audio in the fold, of the same length: the same run, bit for bit."""
    corpus = write_corpus(tmp_path / "corpus", ROWS)
    tested = set(CorpusFold.of(corpus, 1, FOLDS).split("test").ids)
    changed = [
        (split, speaker, id, "xyzw"[: len(text)] if id in tested else text)
        for split, speaker, id, text in ROWS
    ]
    other = write_corpus(tmp_path / "other", changed)
    pretend(other.folder, corpus)
    cells = [
        cell_of(tmp_path, folder, "train.epochs=2", "only=null").model_copy(
            update={"fold": load_study(tmp_path / "tiny.yaml", ["folds=3"]).cells[0].fold}
        )
        for folder in (corpus.folder, other.folder)
    ]
    for cell, name in zip(cells, ("one", "two"), strict=True):
        setup = set_up(cell, tmp_path / name)
        assert not tested & {*setup.train.ids, *setup.dev.ids}
        assert setup.tokenizer.unknown(["x"]) == {"x": 1}
    one, two = (trained(cell, tmp_path / name) for cell, name in zip(cells, "12", strict=True))
    assert same_weights(one, two)
    assert same_weights(one, two, "best")
    assert one.folder.name == two.folder.name
    history = [[row["dev_cer"] for row in each.history()] for each in (one, two)]
    assert history[0] == history[1]
