"""`asrbench init`: the study that it writes loads, says what it chose, and trains."""

from pathlib import Path

import numpy as np
import pytest
from doors import error, run
from json_schema import is_valid
from tones import make_corpus

from asrbench.base.files import read_json
from asrbench.cli.options import chosen_cells
from asrbench.data.corpus import Split
from asrbench.data.corpus_writer import CorpusWriter, Utterance
from asrbench.experiment.spec_file import StudySpec, load_study
from asrbench.experiment.spec_schema import spec_schema
from asrbench.experiment.strict_yaml import read_mapping
from asrbench.stages.init import LARGE_HOURS, MEAN_OCCURRENCES, SCHEMA_FILE, start_study

ROOT = Path(__file__).parent.parent


def corpus_of(folder: Path, *texts: str) -> Path:
    """Makes a corpus of a second of silence for each text."""
    with CorpusWriter.create(
        folder, name="t", recipe="test", source="t", text_profile="verbatim", strict=True
    ) as writer:
        for split in ("train", "dev"):
            for i, text in enumerate(texts):
                samples = np.zeros(16_000, dtype=np.int16)
                writer.add(split, Utterance(f"{split}{i}", samples, text))
    return folder


def sized(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hours: float, *texts: str) -> StudySpec:
    """Returns the study for a corpus that says its training split has `hours` of audio."""
    corpus = corpus_of(tmp_path / "corpus", *texts)
    monkeypatch.setattr(Split, "hours", hours)
    return load_study(start_study("mine", tmp_path, corpus).spec)


def test_it_trains_and_the_printed_commands_are_those(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the tones, as written but for the sizes; the study has its baseline and three seeds."""
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("init", "mine", "--corpus", corpus)
    assert code == 0
    assert out.splitlines()[-2:] == [
        "next: asrbench plan mine.yaml",
        "then: asrbench train mine.yaml",
    ]
    study = load_study(Path("mine.yaml"))
    assert [(c.variant, c.seed) for c in study.cells] == [
        (variant, seed) for variant in ("ds2", "ds2_selfattn") for seed in (0, 1, 2)
    ]
    assert {c.corpus for c in study.cells} == {str(corpus)}
    sizes = (
        "train.epochs=1",
        "model.encoder.recurrence.width=16",
        "model.encoder.recurrence.layers=1",
    )
    sets = [word for size in sizes for word in ("--set", size)]
    code, out, err = run("train", "mine.yaml", "--seed", "0", "--device", "cpu", *sets)
    assert (code, err) == (0, "")
    # The tones have no split to evaluate.
    assert out.splitlines()[-1] == "next: asrbench eval results/mine --split dev"


def test_the_schema_is_beside_it_and_the_spec_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init", "mine")[0] == 0
    first = Path("mine.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA_FILE}"
    assert read_json(Path(SCHEMA_FILE)) == spec_schema()
    assert is_valid(read_mapping(Path("mine.yaml")), spec_schema())
    # A schema with the kinds of a plug-in stays.
    Path(SCHEMA_FILE).write_text("{}")
    code, out, _ = run("init", "other.yaml")
    assert code == 0
    assert SCHEMA_FILE not in out
    assert Path(SCHEMA_FILE).read_text() == "{}"
    assert load_study(Path("other.yaml")).name == "other"


def test_without_a_corpus_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("init", "mine")
    assert code == 0
    making = "asrbench prep table FILE.tsv --out data/mine"
    assert f"next: {making}\n" in out
    assert f"# Make it first: {making}\n" in Path("mine.yaml").read_text()
    (cell,) = {c.corpus for c in load_study(Path("mine.yaml")).cells}
    assert cell == "data/mine"


def test_nothing_is_overwritten_and_nothing_is_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("name: old")
    assert error("init", "mine") == ("mine.yaml: exists already; choose another name, or delete it")
    assert "is no prepared corpus" in error("init", "new", "--corpus", tmp_path)
    assert "NAME: found the name 'a/b', allowed: letters" in error("init", "a/b")
    assert "is not Unicode" in error("init", "new", "--corpus", "latin-1 \udce9")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.yaml"]
    assert Path("mine.yaml").read_text() == "name: old"


def test_sizes_of_an4_are_those_of_its_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A corpus of AN4's size gets the recipe that is known to work there, key by key."""
    an4 = load_study(ROOT / "experiments/an4/ds2.yaml").cells[0]
    ours = sized(monkeypatch, tmp_path, 0.65, "ABC", "DE F").cells[0]
    apart = ("experiment", "corpus")
    assert ours.without(*apart) == an4.without(*apart)


def test_sizes_of_ksponspeech_are_those_of_its_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = load_study(ROOT / "experiments/ds2_baseline.yaml").cells[0]
    ours = sized(monkeypatch, tmp_path, 965, "아" * MEAN_OCCURRENCES, "아 네").cells[0]
    apart = ("experiment", "corpus", "text.unit")
    assert ours.without(*apart) == full.without(*apart)


@pytest.mark.parametrize(
    ("hours", "epochs", "width"),
    [
        (0.001, 200, 256),
        (0.5, 57, 256),  # 30 batches an epoch: 1,700 steps are 56.7 epochs
        (10, 45, 256),
        (LARGE_HOURS - 1, 45, 256),
        (LARGE_HOURS, 20, 1024),
    ],
)
def test_sizes_by_hours(
    hours: float, epochs: int, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = sized(monkeypatch, tmp_path, hours, "ABC").cells[0]
    assert cell.train.epochs == epochs
    assert cell.model.encoder.recurrence.width == width  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("texts", "unit", "profile"),
    [
        (["go on", "stop"], "char", "verbatim"),
        (["네 OK", "abc def"], "char", "verbatim"),
        (["가" * MEAN_OCCURRENCES], "syllable", "nospace"),
        (["가" * (MEAN_OCCURRENCES - 1)], "jamo", "nospace"),
        (["네 좋아요 OK", "그래요?"], "jamo", "nospace"),
        (["네 네", "123"], "jamo", "nospace"),
        (["123"], "char", "verbatim"),
    ],
)
def test_unit_and_profile_by_script(
    texts: list[str], unit: str, profile: str, tmp_path: Path
) -> None:
    study = load_study(start_study("mine", tmp_path, corpus_of(tmp_path / "c", *texts)).spec)
    assert {(c.text.unit, c.score.profile) for c in study.cells} == {(unit, profile)}


@pytest.mark.parametrize("name", ['my: "corpus" # 한국어', "two\nlines"])
def test_a_corpus_whose_name_is_no_plain_text(name: str, tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / name, ["ab"], ["ab"])
    study = load_study(start_study("mine", tmp_path, corpus).spec)
    assert {c.corpus for c in study.cells} == {str(corpus)}


@pytest.mark.parametrize("name", ["an4", "1", "null", "1e3", "a=b,c"])
def test_names_are_text(name: str, tmp_path: Path) -> None:
    assert load_study(start_study(name, tmp_path, None).spec).name == name


def test_one_variant_of_it_can_be_chosen(tmp_path: Path) -> None:
    spec = start_study("mine", tmp_path, None).spec
    (cell,) = chosen_cells(load_study(spec), spec, ["ds2"], [7], None)
    assert (cell.variant, cell.seed) == ("ds2", 7)
