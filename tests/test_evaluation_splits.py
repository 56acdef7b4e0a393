"""Which splits of which corpus `eval`, `inspect` and `compare` take, and where it is found."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from doors import error, run
from made_by_commands import SPEC
from tones import TEXTS

from asrbench import compare
from asrbench.base.files import read_jsonl
from asrbench.data.corpus import Corpus
from asrbench.experiment.run_folder import Run

KSPON_SPLITS = ("train", "dev", "eval_clean", "eval_other")


def make_corpus(home: Path, name: str, splits: Sequence[str], texts: Sequence[str] = TEXTS) -> Path:
    """Makes a corpus folder with two utterances in each split, and all texts in the first."""
    sources = home / f"{name}-sources"
    sources.mkdir()
    rows, t = ["id\taudio\ttext\tspeaker\tsplit"], np.arange(3200) / 16000
    for split in splits:
        for k, text in enumerate(texts if split == splits[0] else texts[:2]):
            tones = [np.sin(2 * np.pi * 400 * (1 + ord(c) - ord("a")) * t) for c in text]
            soundfile.write(sources / f"{split}{k}.wav", 0.3 * np.concatenate(tones), 16000)
            rows.append(f"{split}{k}\t{split}{k}.wav\t{text}\t{split}\t{split}")
    (sources / "table.tsv").write_text("\n".join(rows) + "\n")
    code, _, err = run("prep", "table", sources / "table.tsv", "--out", home / name)
    assert code == 0, err
    return home / name


def printed(*command: object) -> str:
    code, out, err = run(*command)
    assert code == 0, (command, out, err)
    return out


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ds2 on a corpus with the splits of KsponSpeech, not evaluated yet."""
    home = tmp_path_factory.mktemp("studied")
    make_corpus(home, "corpus", KSPON_SPLITS)
    (home / "tiny.yaml").write_text(SPEC.format(corpus=home / "corpus"))
    options = ("--results", home / "results", "--device", "cpu", "--only", "ds2")
    out = printed("train", home / "tiny.yaml", *options, "--set", "train.epochs=1")
    assert out.splitlines()[-1] == f"next: asrbench eval {home / 'results/tiny'}"
    return home


@pytest.fixture
def home(studied: Path, tmp_path: Path) -> Path:
    """A copy whose run names its corpus by the relative path `corpus`."""
    home = shutil.copytree(studied, tmp_path / "home")
    spec = only_run(home).spec_path
    spec.write_text(spec.read_text().replace(str(studied / "corpus"), "corpus"))
    return home


def only_run(home: Path) -> Run:
    (found,) = Run.find([home / "results"])
    return found


def test_the_next_commands_work_as_they_are_printed(home: Path) -> None:
    results = home / "results"
    out = printed("eval", results, "--device", "cpu")
    assert list(only_run(home).scores()) == ["eval_clean", "eval_other"]
    following = [line for line in out.splitlines() if line.startswith("next: asrbench ")]
    assert following == [f"next: asrbench compare {results}"]
    printed("compare", results, "--replicates", "0")
    studies = json.loads((results / "study.json").read_text())["studies"]
    assert [study["split"] for study in studies] == ["eval_clean", "eval_other"]
    study = compare(results, replicates=0)
    assert study.split == "eval_clean"
    assert "this is eval_clean alone; scored too: eval_other" in study.notes


def test_inspect_takes_every_evaluation_split(home: Path) -> None:
    printed("inspect", home / "results", "--count", "1", "--device", "cpu")
    assert only_run(home).inspect_path("eval_clean").is_file()
    assert only_run(home).inspect_path("eval_other").is_file()
    assert not only_run(home).inspect_path("dev").is_file()


def test_a_corpus_without_an_evaluation_split(tmp_path: Path) -> None:
    """`train` prints a command that works, and `eval` alone says what there is."""
    make_corpus(tmp_path, "corpus", ("train", "dev"))
    (tmp_path / "tiny.yaml").write_text(SPEC.format(corpus=tmp_path / "corpus"))
    options = ("--results", tmp_path / "results", "--device", "cpu", "--only", "ds2")
    out = printed("train", tmp_path / "tiny.yaml", *options, "--set", "train.epochs=1")
    folder = tmp_path / "results/tiny"
    assert out.splitlines()[-1] == f"next: asrbench eval {folder} --split dev"
    printed("eval", folder, "--split", "dev", "--device", "cpu")
    assert error("eval", folder, "--device", "cpu") == (
        f"{tmp_path / 'corpus'}: found the splits dev, train, which training reads, and none to "
        f"test on; --split dev takes the dev set"
    )


# Where a corpus is found


def test_a_corpus_is_found_beside_the_results(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home.parent)
    printed("eval", home / "results", "--device", "cpu")
    assert "found no fault" in printed("verify", home / "results")


def test_a_missing_corpus_says_where_it_was_looked_for(home: Path) -> None:
    (home / "corpus").rename(home / "moved")
    command = ("eval", home / "results", "--split", "eval_clean", "--device", "cpu")
    assert error(*command) == (
        f"corpus: corpus is no prepared corpus, nor is {home / 'corpus'}; make it with "
        f"`asrbench prep RECIPE SOURCE --out corpus`, or say where it is with --corpus DIR"
    )
    printed(*command, "--corpus", home / "moved")
    assert list(only_run(home).scores()) == ["eval_clean"]
    printed("inspect", *command[1:], "--count", "1", "--corpus", home / "moved")
    assert only_run(home).inspect_path("eval_clean").is_file()


@pytest.mark.parametrize("command", ["train", "plan"])
def test_a_corpus_is_found_beside_the_spec(
    command: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home.parent)
    (home / "tiny.yaml").write_text(SPEC.format(corpus="corpus"))
    spec, results = home / "tiny.yaml", home.parent / "elsewhere"
    options = ("--only", "ds2", "--device", "cpu", "--results", results)
    printed(command, spec, *options, "--set", "train.epochs=1")
    if command == "train":
        (made,) = Run.find([results])
        assert made.folder.name == only_run(home).folder.name
        assert Corpus.open(Path(made.cell.corpus)).split_names == sorted(KSPON_SPLITS)
    assert error(command, spec, *options, "--set", "corpus=nowhere") == (
        f"corpus: nowhere is no prepared corpus, nor is {home / 'nowhere'}; make it with "
        f"`asrbench prep RECIPE SOURCE --out nowhere`, or say where it is with --set corpus=DIR"
    )


# Another corpus than that of the training


def test_another_corpus_stands_under_its_own_name(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its split is called `eval_clean` as well, and the figures of the own one stay as they are."""
    monkeypatch.chdir(home)
    results, found = home / "results", only_run(home)
    printed("eval", results, "--split", "eval_clean", "--device", "cpu")
    own = found.scores()["eval_clean"]
    texts = [TEXTS[0], "cb", *TEXTS[2:]]
    other = make_corpus(tmp_path, "other", ("eval_clean", "train"), texts)
    opened = Corpus.open(other)
    label = f"eval_clean@{opened.name}-{opened.fingerprint[:8]}"
    options = ("--device", "cpu", "--corpus", other)
    out = printed("eval", results, *options)
    assert "another corpus than it was trained on" in out
    assert out.splitlines()[-1] == f"next: asrbench compare {results}"
    scores = found.scores()
    assert list(scores) == ["eval_clean", label]
    assert scores["eval_clean"] == own
    assert scores[label]["greedy"]["corpus"] == opened.fingerprint
    rows = read_jsonl(found.hypotheses_path(label, "greedy"))
    assert [row["reference"] for row in rows] == texts
    assert [row["in_train"] for row in rows] == [text in TEXTS for text in texts]

    whole = json.loads(printed("compare", results, "--json", "--replicates", "0"))
    assert [study["split"] for study in whole["studies"]] == ["eval_clean", label]
    (_, study) = whole["studies"]
    assert study["title"].startswith(f"{label} of {opened.name} ({opened.fingerprint[:8]})")
    assert (
        study["commands"][0] == f"asrbench eval {results / 'tiny'} --split eval_clean --corpus DIR"
    )
    assert "found no fault" in printed("verify", results)

    printed("inspect", results, *options, "--count", "1")
    assert found.inspect_path(label).is_file()
    assert not found.inspect_path("eval_clean").is_file()


def test_another_corpus_without_that_of_the_training(home: Path, tmp_path: Path) -> None:
    """What also occurs in training is then not known, and said so."""
    other = make_corpus(tmp_path, "other", ("test",))
    shutil.rmtree(home / "corpus")
    out = printed("eval", home / "results", "--corpus", other, "--device", "cpu")
    assert "which texts also occur in its training is not known: corpus: corpus is no" in out
    (label,) = only_run(home).scores()
    rows = read_jsonl(only_run(home).hypotheses_path(label, "greedy"))
    assert all("in_train" not in row for row in rows)
    printed("compare", home / "results", "--out", tmp_path / "out", "--replicates", "20")
