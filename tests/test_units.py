"""Subwords and sides of the text, from training to evaluation."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from tones import TEXTS, Heard, StopsAfter, cell_of, same_weights, spoken, trained

from asrbench.base.distributed import Ranks
from asrbench.base.errors import UserError
from asrbench.base.reporting import Silent
from asrbench.data.corpus import Corpus
from asrbench.data.corpus_writer import CorpusWriter, Utterance
from asrbench.experiment.run_folder import Run
from asrbench.recogniser.loading import load_recogniser
from asrbench.recogniser.recogniser import Recogniser
from asrbench.stages.compare.study import study_of
from asrbench.stages.evaluate import evaluate
from asrbench.stages.plan.estimate import measure
from asrbench.text.bpe import Bpe
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.checkpoint import State, resume
from asrbench.training.loop import train
from asrbench.training.setup import learned_tokenizer, set_up, set_up_all
from asrbench.training.step import Trainer
from asrbench.training.stopping import Interrupted

SUBWORD = ("text.unit=subword", "text.vocabulary=8")
EVERY_STEP = "run.checkpoint_minutes=1e-6"


def forbid_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every later attempt to learn subwords fail."""

    def refuse(*_: object) -> None:
        raise AssertionError("subwords were learned again")

    learned_tokenizer.cache_clear()
    monkeypatch.setattr(Bpe, "learn", refuse)


def stopped(cell: Any, results: Path, steps: int) -> Run:
    prepared = set_up(cell, results)
    with pytest.raises(Interrupted):
        train(prepared, StopsAfter(steps))
    return prepared.run


# Subwords


def test_a_model_of_subwords_learns_is_saved_and_decodes(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training reaches CER 0 on its own texts, and so does the model read from the checkpoint."""
    cell = cell_of(tmp_path, corpus, *SUBWORD, "train.epochs=80")
    run = trained(cell, tmp_path / "results")
    assert min(row["dev_cer"] for row in run.history()) == 0
    forbid_learning(monkeypatch)
    recogniser = load_recogniser(run, "cpu")
    assert len(recogniser.tokenizer.symbols) == 8
    assert recogniser.model.head.output.out_features == 9
    evaluate(run, "dev", "greedy", "cpu", Silent())
    figures = run.scores()["dev"]["greedy"]
    assert figures["cer"] == 0
    assert figures["unknown_symbols"] == 0


def test_subwords_are_of_the_training_texts_alone(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    with CorpusWriter.create(
        folder, name="o", recipe="test", source="t", text_profile="verbatim"
    ) as writer:
        for i, text in enumerate(TEXTS):
            writer.add("train", Utterance(f"t{i}", spoken(text), text))
        writer.add("dev", Utterance("d", spoken("abd"), "abd"))
    prepared = set_up(cell_of(tmp_path, folder, *SUBWORD), tmp_path / "results")
    assert prepared.tokenizer == Tokenizer.of("subword", TEXTS, 8)
    assert prepared.tokenizer.unknown(["abd"]) == {"d": 1}


def test_a_run_that_goes_on_learns_no_subwords_again(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(tmp_path, corpus, *SUBWORD)
    whole = trained(cell, tmp_path / "whole")
    run = stopped(cell, tmp_path / "halves", 3)
    forbid_learning(monkeypatch)
    assert trained(cell, tmp_path / "halves") == run
    assert same_weights(whole, run)
    tokenizers = [each.weights_path("last") for each in (whole, run)]
    assert Recogniser.tokenizer_of(tokenizers[0]) == Recogniser.tokenizer_of(tokenizers[1])


def test_a_state_over_other_subwords_is_refused(tmp_path: Path, corpus: Path) -> None:
    """This happens when weights are lost and another version of SentencePiece learns anew."""
    cell = cell_of(tmp_path, corpus, *SUBWORD, EVERY_STEP)
    run = stopped(cell, tmp_path / "results", 3)
    other = Tokenizer.of("subword", [*TEXTS, "abababab"], 8)
    trainer = Trainer(cell, other, "f1" * 8, torch.device("cpu"))
    kept = Recogniser.tokenizer_of(run.weights_path("last"))
    assert kept is not None
    with pytest.raises(UserError) as caught:
        resume(State(trainer), run, Silent())
    assert str(caught.value) == (
        f"{run}: found a state with another tokenizer ({kept.digest}) than the one learned from "
        f"its training texts ({other.digest}), and no last.safetensors that holds it; "
        f"delete the folder and train the run again"
    )


def test_every_rank_has_the_subwords_of_the_first(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first rank has the run folder, and its version of SentencePiece may differ."""
    firsts = Tokenizer.of("subword", TEXTS, 7)
    monkeypatch.setattr(Ranks, "broadcast", lambda self, value: [firsts for _ in value])
    cells = [cell_of(tmp_path, corpus, *SUBWORD, f"seeds=[{seed}]") for seed in (0, 1)]
    prepared = set_up_all(cells, tmp_path / "results", Ranks())
    assert [each.tokenizer for each in prepared] == [firsts, firsts]


def test_a_trial_takes_the_subwords_that_were_learned_for_it(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(tmp_path, corpus, *SUBWORD, "train.epochs=1")
    tokenizer = Tokenizer.of("subword", TEXTS, 8)
    forbid_learning(monkeypatch)
    assert measure(cell, tmp_path / "results", tokenizer).utterances == len(TEXTS)


@pytest.mark.parametrize(("vocabulary", "allowed"), [(3, "4 or more"), (99, "at most 31")])
def test_a_vocabulary_that_the_texts_do_not_make(
    vocabulary: int, allowed: str, tmp_path: Path, corpus: Path
) -> None:
    sets = ("text.unit=subword", f"text.vocabulary={vocabulary}")
    with pytest.raises(
        UserError, match=rf"^text\.vocabulary: found {vocabulary}, allowed: {allowed}"
    ):
        set_up(cell_of(tmp_path, corpus, *sets), tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_subwords_can_be_aligned_where_characters_cannot(tmp_path: Path) -> None:
    """0.3 s make 7 frames after a stride of 4, fewer than the 13 characters of the text, which is
    four subwords."""
    folder = tmp_path / "crammed"
    with CorpusWriter.create(
        folder, name="c", recipe="test", source="t", text_profile="verbatim"
    ) as writer:
        for i in range(4):
            writer.add("train", Utterance(f"t{i}", spoken("a"), "abc abcabcabc"))
        writer.add("train", Utterance("short", spoken("abc"), "abc"))
        writer.add("dev", Utterance("dev", spoken("a"), "a"))
    sets = ["train.epochs=1", "model.encoder.front_end.time_stride=4"]
    counts = []
    for unit in (["text.unit=char"], ["text.unit=subword", "text.vocabulary=7"]):
        run = trained(cell_of(tmp_path, folder, *sets, *unit), tmp_path / "results")
        counts.append(len(run.excluded_path.read_text().splitlines()))
    assert counts == [4, 0]


# Sides


@pytest.fixture(scope="module")
def dual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with two more sides: `ab` is said for a written `c`, and both sides have punctuation
    that `text` has not."""
    folder = tmp_path_factory.mktemp("dual") / "dual"
    with CorpusWriter.create(
        folder, name="dual", recipe="test", source="t", text_profile="verbatim"
    ) as writer:
        for split, texts in {"train": TEXTS, "dev": TEXTS[:2], "test": ["abb", "cba"]}.items():
            for i, text in enumerate(texts):
                writer.add(
                    split,
                    Utterance(
                        f"{split}{i}",
                        spoken(text),
                        text,
                        spelling=f"{text}.",
                        phonetic=text.replace("c", "ab") + "?",
                    ),
                )
    return folder


def test_a_loaders_process_reads_the_side_too(dual: Path) -> None:
    split = Corpus.open(dual).split("train").on("phonetic")
    again = pickle.loads(pickle.dumps(split))
    assert again.texts == split.texts == [text.replace("c", "ab") + "?" for text in TEXTS]
    assert again.ids == Corpus.open(dual).split("train").ids


def rows_of(run: Run, split: str) -> list[dict[str, str]]:
    lines = run.hypotheses_path(split, "greedy").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("side", "symbols"), [("text", "abc"), ("spelling", ".abc"), ("phonetic", "?ab")]
)
def test_training_writes_the_side_it_is_told(
    side: str, symbols: str, tmp_path: Path, dual: Path
) -> None:
    prepared = set_up(cell_of(tmp_path, dual, f"text.side={side}"), tmp_path / "results")
    assert prepared.train.texts == prepared.corpus.split("train").column(side)
    assert prepared.tokenizer.symbols == tuple(symbols)


@pytest.mark.parametrize("side", ["spelling", "phonetic"])
def test_a_side_that_the_corpus_has_not(side: str, tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(UserError) as caught:
        set_up(cell_of(tmp_path, corpus, f"text.side={side}"), tmp_path / "results")
    assert str(caught.value) == (
        f"text.side: found '{side}', allowed: text, the sides that every training "
        f"utterance of {corpus} has"
    )
    assert not (tmp_path / "results").exists()


def test_a_side_that_some_utterances_lack_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "some"
    with CorpusWriter.create(
        folder, name="s", recipe="test", source="t", text_profile="verbatim"
    ) as writer:
        writer.add("train", Utterance("a", spoken("a"), "a", spelling="a", phonetic="a"))
        writer.add("train", Utterance("b", spoken("b"), "b", phonetic="b"))
        writer.add("dev", Utterance("c", spoken("a"), "a", phonetic=""))
    corpus = Corpus.open(folder)
    assert corpus.split("train").sides == ("text", "phonetic")
    assert corpus.split("dev").sides == ("text", "phonetic")
    with pytest.raises(UserError, match="allowed: text, phonetic, the sides"):
        set_up(cell_of(tmp_path, folder, "text.side=spelling"), tmp_path / "results")


@pytest.mark.parametrize(
    ("profile", "side"),
    [
        ("verbatim", "text"),
        ("nospace", "spelling"),
        ("espnet", "spelling"),
        ("readings", "spelling"),
        ("kospeech", "phonetic"),
    ],
)
def test_dev_and_test_are_held_against_the_side_of_the_profile(
    profile: str, side: str, tmp_path: Path, dual: Path
) -> None:
    """This holds whatever side is trained on. Rows of hypotheses hold the other sides too."""
    cell = cell_of(tmp_path, dual, f"score.profile={profile}", "train.epochs=1")
    run = trained(cell, tmp_path / "results")
    columns = {
        s: Corpus.open(dual).split("test").column(s) for s in ("text", "spelling", "phonetic")
    }
    evaluate(run, "test", "greedy", "cpu", Silent())
    figures = run.scores()["test"]["greedy"]
    assert (figures["side"], figures["sides"]) == (side, ["text", "spelling", "phonetic"])
    rows = rows_of(run, "test")
    assert [row["reference"] for row in rows] == columns.pop(side)
    for other, texts in columns.items():
        assert [row[other] for row in rows] == texts
    assert set_up(cell, tmp_path / "results").dev.side == side
    (row,) = run.history()
    # Of these `verbatim` counts the `.` of a spelling, and `kospeech` the `?`.
    assert row["dev_characters"] == {"text": 7, "spelling": 7, "phonetic": 11}[side]
    assert row["dev_profile"] == figures["profile"]


def test_a_corpus_without_sides_is_held_against_its_text(tmp_path: Path, corpus: Path) -> None:
    cell = cell_of(tmp_path, corpus, "score.profile=kospeech", "train.epochs=1")
    run, heard = trained(cell, tmp_path / "results"), Heard()
    evaluate(run, "dev", "greedy", "cpu", heard)
    figures = run.scores()["dev"]["greedy"]
    assert (figures["side"], figures["sides"]) == ("text", ["text"])
    assert [set(row) for row in rows_of(run, "dev")] == 2 * [
        {"id", "reference", "hypothesis", "seconds", "in_train"}
    ]
    assert heard.lines == []


@pytest.mark.parametrize(
    ("sets", "note"),
    [
        (
            ("score.profile=kospeech",),
            "trained on 'text', scored against 'phonetic' under kospeech/1; "
            "they differ in 2 of 2 utterances",
        ),
        # `abb.` and `abb` are equal without punctuation.
        (("score.profile=nospace",), None),
        (
            ("text.side=phonetic", "score.profile=espnet"),
            "trained on 'phonetic', scored against 'spelling' under espnet/1; "
            "they differ in 1 of 2 utterances",
        ),
        (("text.side=phonetic", "score.profile=kospeech"), None),
        # Here either side counts.
        (("text.side=phonetic", "score.profile=readings"), None),
    ],
)
def test_another_side_than_was_trained_on_is_told(
    sets: tuple[str, ...], note: str | None, tmp_path: Path, dual: Path
) -> None:
    run = trained(cell_of(tmp_path, dual, "train.epochs=1", *sets), tmp_path / "results")
    heard = Heard()
    evaluate(run, "test", "greedy", "cpu", heard)
    assert heard.lines == ([] if note is None else [f"{run}: {note}"])


def test_either_side_counts_in_training_and_in_eval(tmp_path: Path, dual: Path) -> None:
    """The model writes the pronunciation, whose `ab` for `c` is right under `readings` only."""
    sets = ("text.side=phonetic", "score.profile=readings", "train.epochs=40")
    run = trained(cell_of(tmp_path, dual, *sets), tmp_path / "results")
    scores = evaluate(run, "dev", "greedy", "cpu", Silent()).scores
    assert min(row["dev_cer"] for row in run.history()) == scores.cer == 0
    assert study_of([run.folder], split="dev", replicates=0).systems[0].cer == 0
    strict = study_of([run.folder], split="dev", profile="nospace", replicates=0)
    assert (strict.n, strict.systems[0].cer > 0) == (scores.n, True)


def test_unknown_symbols_are_those_that_the_profile_counts(tmp_path: Path, dual: Path) -> None:
    """The model emits `abc`. It does not know the `.` of the spelling, which `nospace` does not
    count, nor the `?` of the phonetic side, which `kospeech` counts."""
    counts = {}
    for profile in ("nospace", "kospeech"):
        sets = (f"score.profile={profile}", "train.epochs=1")
        run = trained(cell_of(tmp_path, dual, *sets), tmp_path / "results")
        counts[profile] = evaluate(run, "test", "greedy", "cpu", Silent()).unknown_symbols
    assert counts == {"nospace": 0, "kospeech": 2}


def test_an_evaluated_run_is_compared_under_any_profile(tmp_path: Path, dual: Path) -> None:
    """One file of hypotheses gives the scores that a run under each profile would have."""
    run = trained(cell_of(tmp_path, dual, "train.epochs=1"), tmp_path / "results")
    evaluate(run, "test", "greedy", "cpu", Silent())
    n = {
        p: study_of([run.folder], profile=p, replicates=0).n
        for p in ("verbatim", "nospace", "kospeech")
    }
    # `abb` and `cba`; the phonetic side has `abb?` and `abba?`.
    assert n == {"verbatim": 6, "nospace": 6, "kospeech": 9}
