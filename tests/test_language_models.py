"""`asrbench lm`, and `asrbench eval` with what it makes: settings, tuning, and what is refused."""

import json
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
import soundfile
from tones import TEXTS, cell_of, make_corpus, sets_for, spoken, trained
from typer.testing import CliRunner

import asrbench
from asrbench.base.errors import UserError
from asrbench.base.files import read_json, read_jsonl, write_json
from asrbench.cli.app import app
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec_file import decode_with_sets, load_study
from asrbench.recogniser.tuning import GRID
from asrbench.scoring.edit_counts import character_errors
from asrbench.stages.compare.study import study_of
from asrbench.stages.transcribe import Settings, Source, Transcript, transcribe
from asrbench.text.ngram_lm import NgramLm

DEV = ["abca", "cba", "bcb", "ccab"]


def said(*arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == status, result.output
    return result.output


def refused(*arguments: object) -> str:
    (line,) = (said(*arguments, status=2).replace("\n  ", " ")).strip().splitlines()[-1:]
    return line


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, a run after some epochs, and a language model of its symbols."""
    folder = tmp_path_factory.mktemp("lm")
    corpus = make_corpus(folder / "corpus", TEXTS, DEV)
    trained(cell_of(folder, corpus, "train.epochs=3"), folder / "results")
    said("lm", corpus, "--order", 3, "--out", folder / "lm.arpa")
    return folder


@pytest.fixture
def run(home: Path) -> Run:
    (found,) = Run.find([home / "results"])
    found.scores_path.unlink(missing_ok=True)
    return found


OTHERS = {"joint_las": ["beam", "attention_beam", "joint"], "rnnt": ["beam"]}
"""The beam searches of models with other heads."""


@pytest.fixture(scope="module", params=OTHERS)
def other(home: Path, tmp_path_factory: pytest.TempPathFactory, request: Any) -> Run:
    """A run with another head, which has learned a little."""
    folder = tmp_path_factory.mktemp(request.param)
    sets = ["train.epochs=12", *sets_for(request.param)]
    return trained(cell_of(folder, home / "corpus", *sets), folder / "results")


def test_the_file_says_what_it_is_of_and_the_command_how_good_it_is(home: Path) -> None:
    out = home / "other.arpa"
    text = said("lm", home / "corpus", "--order", 3, "--out", out)
    lm = NgramLm.read(out)
    assert lm.source is not None
    assert (lm.source.unit, lm.source.symbols, lm.source.fold) == ("char", 3, None)
    assert f"{sum(lm.counts):,} n-grams" in text
    assert "perplexity on dev" in text
    assert lm.digest in text
    assert out.read_bytes() == (home / "lm.arpa").read_bytes()


def test_a_run_gives_the_same_as_its_corpus_and_unit(home: Path, run: Run) -> None:
    said("lm", "--run", run.folder, "--order", 3, "--out", home / "of_run.arpa")
    assert (home / "of_run.arpa").read_bytes() == (home / "lm.arpa").read_bytes()


def test_a_fold_leaves_out_the_texts_that_it_is_tested_on(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", TEXTS, DEV)
    cell_of(tmp_path, corpus)  # writes the spec
    cells = load_study(tmp_path / "tiny.yaml", ["folds=5", "train.epochs=1"]).cells
    fold = trained(cells[0], tmp_path / "results")
    said("lm", "--run", fold.folder, "--order", 2, "--out", tmp_path / "fold.arpa")
    said("lm", corpus, "--order", 2, "--out", tmp_path / "whole.arpa")
    lm = NgramLm.read(tmp_path / "fold.arpa")
    assert lm.source is not None
    assert lm.source.fold == "fold 1 of 5"
    said("eval", fold.folder, "--decode", "beam", "--lm", tmp_path / "fold.arpa")
    line = refused("eval", fold.folder, "--decode", "beam", "--lm", tmp_path / "whole.arpa")
    assert "training texts of the whole corpus, among which are test texts of fold 1 of 5" in line


def test_results_with_a_model_stand_beside_those_without(home: Path, run: Run) -> None:
    said("eval", run.folder, "--split", "dev")
    said("eval", run.folder, "--split", "dev", "--decode", "beam")
    said("eval", run.folder, "--split", "dev", "--decode", "beam", "--lm", home / "lm.arpa")
    scores = run.scores()["dev"]
    assert list(scores) == ["greedy", "beam", "beam_lm"]
    digest = NgramLm.read(home / "lm.arpa").digest
    assert scores["beam"]["settings"] == {"beam": 10, "length_bonus": 0.0}
    assert scores["beam_lm"]["settings"] == {
        "beam": 10,
        "lm": digest,
        "lm_weight": 0.5,
        "length_bonus": 0.0,
    }
    assert run.hypotheses_path("dev", "beam_lm").name == "hypotheses.dev.beam_lm.jsonl"
    study = study_of([run.folder], split="dev", replicates=0)
    assert {system.decode for system in study.all_systems} == {"greedy", "beam", "beam_lm"}

    assert any(line.endswith("--decode beam --lm FILE") for line in study.commands)


def test_runs_under_different_models_are_not_compared(home: Path, run: Run, tmp_path: Path) -> None:
    """Another seed decoded with another language model; with weights of their own they may be."""
    cell = cell_of(tmp_path, home / "corpus", "train.epochs=3").model_copy(update={"seed": 1})
    other = trained(cell, tmp_path / "results")
    said("lm", home / "corpus", "--order", 2, "--out", tmp_path / "2.arpa")
    beam = ("--split", "dev", "--decode", "beam", "--lm")
    said("eval", run.folder, *beam, home / "lm.arpa")
    said("eval", other.folder, *beam, tmp_path / "2.arpa")
    with pytest.raises(UserError, match=r"beam_lm decoding with .* --decode beam --lm FILE"):
        study_of([run.folder, other.folder], split="dev", replicates=0)
    for folder in (run.folder, other.folder):
        said("eval", folder, *beam, home / "lm.arpa", "--tune")
    stored = read_json(other.scores_path)
    stored["dev"]["beam_lm"]["tuned"]["lm_weight"] = 7.0
    write_json(other.scores_path, stored)
    study_of([run.folder, other.folder], split="dev", replicates=0)


def test_tuning_takes_the_pair_with_the_lowest_dev_cer(home: Path, run: Run) -> None:
    """Each trial is what `eval` gives with these weights; the chosen one decodes the split."""
    lm = home / "lm.arpa"
    text = said("eval", run.folder, "--split", "dev", "--decode", "beam", "--lm", lm, "--tune")
    found = json.loads(run.tuning_path("beam_lm").read_text())
    trials = {(t["lm_weight"], t["length_bonus"]): t["errors"] for t in found["trials"]}
    assert set(trials) == {(w, b) for w in GRID["lm_weight"] for b in GRID["length_bonus"]}
    figures = run.scores()["dev"]["beam_lm"]
    chosen = figures["tuned"]
    assert trials[chosen["lm_weight"], chosen["length_bonus"]] == min(trials.values())
    assert figures["cer"] * figures["characters"]["n"] == pytest.approx(min(trials.values()))
    assert f"chosen on dev: lm_weight {chosen['lm_weight']:g}" in text
    assert figures["settings"] == {
        "beam": 10,
        "lm": found["lm"],
        "lm_weight": GRID["lm_weight"],
        "length_bonus": GRID["length_bonus"],
        "tuned_on": "dev",
    }
    sets = ["--set", "decode.lm_weight=1.2", "--set", "decode.length_bonus=3"]
    said("eval", run.folder, "--split", "dev", "--decode", "beam", "--lm", lm, *sets)
    rows = read_jsonl(run.hypotheses_path("dev", "beam_lm"))
    pairs = [(row["reference"], row["hypothesis"]) for row in rows]
    errors = character_errors(*map(list, zip(*pairs, strict=True)), "verbatim").errors
    assert errors == trials[1.2, 3.0]


def test_the_spec_can_ask_for_it_all(home: Path, tmp_path: Path) -> None:
    sets = ["train.epochs=1", "decode.search=beam", "decode.beam=3", f"decode.lm={home}/lm.arpa"]
    run = trained(cell_of(tmp_path, home / "corpus", *sets), tmp_path / "results")
    said("eval", run.folder, "--split", "dev")
    said("eval", run.folder, "--split", "dev", "--decode", "greedy")
    scores = run.scores()["dev"]
    assert list(scores) == ["beam_lm", "greedy"]
    assert scores["beam_lm"]["settings"]["beam"] == 3


def test_transcribing_takes_the_same_settings(home: Path, run: Run) -> None:
    recogniser = asrbench.load(run.folder)
    text = recogniser.transcribe(
        spoken(TEXTS[0]), 16_000, "beam", lm=str(home / "lm.arpa"), lm_weight=0.0
    )
    assert text == recogniser.transcribe(spoken(TEXTS[0]), 16_000, "beam")


def test_every_beam_search_takes_them(home: Path, other: Run) -> None:
    """Without weight nothing changes; with much of it the language model or the bonus decides."""
    recogniser, path = asrbench.load(other.folder), str(home / "lm.arpa")
    lm = NgramLm.read(home / "lm.arpa")
    for search in OTHERS[other.cell.model.name]:

        def text(search: str = search, **settings: str | float) -> str:
            return recogniser.transcribe(spoken(TEXTS[0]), 16_000, search, **settings)

        plain, long = text(), text(length_bonus=2.0)
        assert text(lm=path, lm_weight=0.0) == plain
        assert len(long) > len(plain)
        assert text(length_bonus=-50.0) == ""
        led = text(length_bonus=2.0, lm=path, lm_weight=30.0)
        assert lm.score(lm.index[c] for c in led) > lm.score(lm.index[c] for c in long)


def test_a_model_with_another_head_is_tuned_and_stored_alike(home: Path, other: Run) -> None:
    lm, digest = home / "lm.arpa", NgramLm.read(home / "lm.arpa").digest
    searches = OTHERS[other.cell.model.name]
    for search in searches:
        said("eval", other.folder, "--split", "dev", "--decode", search, "--lm", lm)
    scores = other.scores()["dev"]
    assert list(scores) == [f"{search}_lm" for search in searches]
    for found in scores.values():
        assert found["settings"].items() >= {"lm": digest, "lm_weight": 0.5}.items()
    last = f"{searches[-1]}_lm"
    tune = ("eval", other.folder, "--split", "dev", "--decode", searches[-1], "--lm", lm, "--tune")
    assert "chosen on dev: lm_weight" in said(*tune)
    trials = read_json(other.tuning_path(last))["trials"]
    assert len(trials) == len(GRID["lm_weight"]) * len(GRID["length_bonus"])
    found = other.scores()["dev"][last]
    least = min(trial["errors"] for trial in trials)
    assert found["cer"] * found["characters"]["n"] == pytest.approx(least)
    assert found["settings"]["tuned_on"] == "dev"
    study = study_of([other.folder], split="dev", replicates=0)
    assert {system.decode for system in study.all_systems} == set(scores)


def test_windows_of_a_long_recording_are_decoded_with_it(
    home: Path, other: Run, tmp_path: Path
) -> None:
    wave = tmp_path / "long.wav"
    soundfile.write(wave, np.concatenate([spoken(text) for text in TEXTS]), 16_000)
    search = OTHERS[other.cell.model.name][-1]

    def text(*sets: str) -> str:
        source = Source(str(wave), wave, PurePath(wave.name))
        settings = Settings(window_s=5.0)
        (done,) = transcribe(other, [source], search, "cpu", settings, sets=sets)
        assert isinstance(done, Transcript)
        return done.text

    lm = f"decode.lm={home}/lm.arpa"
    assert text(lm, "decode.lm_weight=0.0") == text()
    assert text(lm, "decode.lm_weight=1.0", "decode.length_bonus=-50.0") == "" != text()


def test_a_search_that_reads_none_says_which_do(home: Path, other: Run) -> None:
    allowed = OTHERS[other.cell.model.name]
    search = "attention" if "joint" in allowed else "greedy"
    command = ("eval", other.folder, "--split", "dev", "--decode", search)
    line = refused(*command, "--lm", home / "lm.arpa")
    assert f"'{search}' reads no language model; allowed: {', '.join(allowed)}" in line
    line = refused(*command, "--tune")
    assert f"'{search}' reads none; allowed with --lm FILE: {', '.join(allowed)}" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--lm", "{home}/lm.arpa"],
            "decode.lm: found '{home}/lm.arpa', but the search 'greedy' reads no language model; "
            "allowed: beam",
        ),
        (["--decode", "beam", "--tune"], "has none; give it one with --lm FILE"),
        (["--decode", "joint"], "--decode: found 'joint', allowed: greedy, beam"),
        (["--set", "train.epochs=3"], "--set train: found a key that training has used; allowed"),
        (["--set", "decode.beem=3"], "--set decode.beem: found an unknown key, allowed: beam"),
        (["--set", "decode.lm_weight=-1"], "--set decode.lm_weight: found -1, allowed: greater"),
        (["--decode", "beam", "--lm", "{home}/none.arpa"], "none.arpa: no such file"),
        (["--decode", "beam", "--lm", "{home}/xyz.arpa"], "found a language model of another tok"),
    ],
)
def test_what_cannot_be_is_one_line(options: list[str], message: str, home: Path, run: Run) -> None:
    make_xyz = home / "xyz.arpa"
    if not make_xyz.exists():
        corpus = make_corpus(home / "xyz", ["xyz", "zyx"], ["yx"])
        said("lm", corpus, "--order", 2, "--out", make_xyz)
    filled = [option.format(home=home) for option in options]
    assert message.format(home=home) in refused("eval", run.folder, "--split", "dev", *filled)
    assert not run.scores_path.exists()


def test_a_search_that_the_head_lacks_is_refused_before_training(
    home: Path, tmp_path: Path
) -> None:
    for sets, message in (
        (["decode.search=joint"], "decode.search: found 'joint', allowed: greedy, beam"),
        ([f"decode.lm={home}/lm.arpa"], "the search 'greedy' reads no language model"),
    ):
        cell_of(tmp_path, home / "corpus", *sets)
        options = [part for each in sets for part in ("--set", each)]
        results = tmp_path / "results"
        line = said("train", tmp_path / "tiny.yaml", *options, "--results", results, status=2)
        assert message in " ".join(line.split())
        assert not [*tmp_path.rglob("spec.yaml")]


def test_texts_that_cannot_be_modelled(home: Path) -> None:
    out = home / "no.arpa"
    assert "lm: found neither, allowed" in refused("lm", "--out", out)
    assert "--side" in refused("lm", home / "corpus", "--side", "spelling", "--out", out)
    assert "text.vocabulary" in refused("lm", home / "corpus", "--vocabulary", 9, "--out", out)
    assert "Hangul" in refused("lm", home / "corpus", "--unit", "jamo", "--out", out)
    assert not out.exists()


def test_only_decode_can_be_changed_after_training(run: Run) -> None:
    changed = decode_with_sets(run.cell.decode, ["decode.beam=3", "decode.lm=a b.arpa"])
    assert (changed.beam, changed.lm) == (3, "a b.arpa")
    assert run.cell.decode.beam == 10
