"""Decodes a split with trained runs and scores it."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asrbench.base.errors import UserError, pick
from asrbench.base.files import write_jsonl, write_text
from asrbench.base.records import to_json
from asrbench.base.reporting import Reporter
from asrbench.data.batch_sampler import length_plan
from asrbench.data.corpus import Corpus, Split
from asrbench.data.folds import DEV
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.run_folder import Run
from asrbench.models.flops import forward_flops
from asrbench.recogniser.decoder import Decoder
from asrbench.recogniser.devices import resolve_device
from asrbench.recogniser.loader import load
from asrbench.recogniser.loading import load_recogniser, open_corpus, split_label
from asrbench.recogniser.recogniser import Recogniser
from asrbench.recogniser.tuning import Tuning, tuned
from asrbench.scoring.counted_text import counted, counts_symbol
from asrbench.scoring.score import Score, score
from asrbench.text.profiles import PROFILES
from asrbench.training.environment import program_and_machine
from asrbench.training.peak import peak_bytes, reset_peak


@dataclass(frozen=True)
class Evaluation:
    """The error rates of one run on one split, decoded by one search."""

    run: Run
    split: str
    decode: str
    """The search, with `_lm` if it had a language model."""
    scores: Score
    unknown_symbols: int
    """Symbols of the references that the tokenizer cannot spell and the profile counts."""
    real_time_factor: float
    """Seconds that features, model and search take in total for one second of audio."""
    tuning: Tuning | None = None
    """How the dev set chose the weights of the search; None unless it was asked to."""


def evaluate_runs(
    runs: Iterable[Run],
    splits: Sequence[str],
    decode: str | None,
    device: str,
    reporter: Reporter,
    *,
    corpus: Path | None = None,
    sets: Sequence[str] = (),
    tune: bool = False,
    trust_plugins: bool = False,
) -> Iterator[Evaluation]:
    """Evaluates each run on each split, and skips runs without weights or without that search.

    Without `splits` they are all evaluation splits of the corpus. `corpus` is the folder of the
    corpus, otherwise that of each run's spec; it may be another one than a run was trained on, and
    the figures are then stored under a name that says so.

    `sets` are changes of the keys of `decode`, as `decode.beam=20`. Without `decode`, each run is
    decoded by the search of its spec or else of its dev passes in training. With `tune`, the dev
    set chooses the weights of the language model and of the length first. Raises `UserError` if no
    run has a search of that name, and, after the others are evaluated, if a run cannot be read.
    """
    runs = list(runs)
    resolve_device(device)
    searches: dict[str, None] = {}
    skipped = []
    found_search = False
    unreadable: list[UserError] = []
    for run in runs:
        try:
            if not run.weights_path().is_file():
                reporter.say(f"{run}: skipped, {run.missing_weights()}")
                continue
            run.scores()  # before hours of decoding, whose scores are written into that file
            recogniser = load_recogniser(run, device, trust_plugins=trust_plugins)
        except UserError as error:
            if len(runs) == 1:
                raise
            reporter.say(f"{run}: skipped, {error}")
            unreadable.append(error)
            continue
        searches |= dict.fromkeys(recogniser.searches)
        if decode and decode not in recogniser.searches:
            allowed = ", ".join(recogniser.searches)
            skipped.append(f"{run}: skipped, it has no --decode {decode}, only {allowed}")
            continue
        found_search = True
        decoder, tuning = Decoder.of(run, recogniser, decode, sets), None
        tested = open_corpus(run, recogniser, corpus)
        if tune:
            decoder, tuning = _tuned(run, recogniser, tested, decoder, reporter)
        for split in splits or tested.evaluation_splits:
            found = _evaluate(run, recogniser, tested, split, decoder, reporter)
            yield replace(found, tuning=tuning)
    if decode and searches and not found_search:
        pick("--decode", decode, searches)
    for line in skipped:
        reporter.say(line)
    if unreadable:
        raise UserError(f"{len(unreadable)} of {len(runs)} runs were skipped: {unreadable[0]}")


def evaluate(
    run: Run, split_name: str, decode: str | None, device: str, reporter: Reporter
) -> Evaluation:
    """Writes the hypotheses and scores of `run` on a split to its run folder.

    References are of the side that the scoring profile asks for, where the corpus has it; the
    other sides are stored beside them, so that other profiles can be applied later. Without
    `decode` it is the search of the dev passes in training.
    """
    recogniser = load_recogniser(run, device)
    decoder, corpus = Decoder.of(run, recogniser, decode), open_corpus(run, recogniser)
    return _evaluate(run, recogniser, corpus, split_name, decoder, reporter)


def _evaluate(
    run: Run,
    recogniser: Recogniser,
    corpus: Corpus,
    corpus_split: str,
    decoder: Decoder,
    reporter: Reporter,
) -> Evaluation:
    split = _references_of(run, corpus.split(corpus_split))
    split_name = split_label(corpus_split, corpus, recogniser)
    reset_peak(recogniser.device)
    started_at = time.perf_counter()
    rows = _decoded(run, recogniser, split, split_name, decoder, reporter)
    seconds = time.perf_counter() - started_at
    peak_memory_gb = peak_bytes(recogniser.device) / 1e9
    others = {side: split.column(side) for side in split.sides if side != split.side}
    speakers = split.column("speaker")
    in_train = _in_train(run, split, _trained_on(run, recogniser, corpus, reporter))
    for i, row in enumerate(rows):
        row.update({side: texts[i] for side, texts in others.items()})
        row["seconds"] = round(float(split.samples[i]) / SAMPLE_RATE_HZ, 4)
        if speakers[i] is not None:
            row["speaker"] = speakers[i]
        if in_train is not None:
            row["in_train"] = in_train[i]
    write_jsonl(run.hypotheses_path(split_name, decoder.label), rows)
    if note := _other_side(run, split):
        reporter.say(f"{run}: {note}")
    audio_seconds = split.hours * 3600
    other = PROFILES[run.cell.score.profile].other_side_among(split.sides)
    scores = _scores(run, rows, None if other is None else split.column(other))
    unknown_symbols = _unknown_symbols(run, recogniser, rows)
    run.write_scores(
        split_name,
        decoder.label,
        {
            **_figures(run, recogniser, rows, scores, unknown_symbols),
            "corpus": corpus.fingerprint,
            "side": split.side,
            "sides": list(split.sides),
            "settings": decoder.settings,
            **({"tuned": decoder.tuned} if decoder.tuned else {}),
            "seconds": seconds,
            "audio_seconds": audio_seconds,
            "real_time_factor": seconds / audio_seconds,
            "peak_memory_gb": peak_memory_gb,
            "environment": program_and_machine(recogniser),
        },
    )
    return Evaluation(
        run, split_name, decoder.label, scores, unknown_symbols, seconds / audio_seconds
    )


def _tuned(
    run: Run, recogniser: Recogniser, corpus: Corpus, decoder: Decoder, reporter: Reporter
) -> tuple[Decoder, Tuning]:
    """Chooses the weights of the search on the dev set, and writes what was tried to the run.

    The dev set is that of the corpus that the run was trained on, whatever it is tested on.
    """
    own = corpus if _is_own(corpus, recogniser) else open_corpus(run, recogniser)
    dev = _references_of(run, own.split(DEV))
    task = f"{run.cell.variant} tune {decoder.label}"
    decoder, tuning = tuned(
        recogniser, decoder, dev, lambda done, total: reporter.progress(task, done, total)
    )
    write_text(run.tuning_path(decoder.label), to_json(tuning) + "\n")
    return decoder, tuning


def _references_of(run: Run, split: Split) -> Split:
    """Returns the split with the texts that the scoring profile of `run` takes as references."""
    return split.on(PROFILES[run.cell.score.profile].side_among(split.sides))


def _is_own(corpus: Corpus, recogniser: Recogniser) -> bool:
    return corpus.fingerprint == recogniser.fingerprint


def _trained_on(
    run: Run, recogniser: Recogniser, corpus: Corpus, reporter: Reporter
) -> Split | None:
    """Returns what `run` was trained on; None if that is another corpus that cannot be opened."""
    if not _is_own(corpus, recogniser):
        reporter.say(f"{run}: is tested on {corpus.folder}, another corpus than it was trained on")
        try:
            corpus = open_corpus(run, recogniser)
        except UserError as error:
            reporter.say(f"{run}: which texts also occur in its training is not known: {error}")
            return None
    return _references_of(run, corpus.split("train").part(run.cell.train.share))


def _in_train(run: Run, split: Split, train: Split | None) -> list[bool] | None:
    """Returns for each utterance of `split` whether its text is that of a training utterance.

    Texts are equal if the scoring profile of `run` counts the same characters in both. None
    without the training split.
    """
    if train is None:
        return None
    profile = run.cell.score.profile
    trained = {counted(text, profile) for text in train.texts}
    return [counted(text, profile) in trained for text in split.texts]


def _decoded(
    run: Run,
    recogniser: Recogniser,
    split: Split,
    split_name: str,
    decoder: Decoder,
    reporter: Reporter,
) -> list[dict[str, Any]]:
    """The rows of the hypotheses file, in the order of the split."""
    plan = length_plan(split.samples, run.cell.train.batch_seconds)
    rows: dict[str, dict[str, Any]] = {}
    batches = load(split, recogniser.tokenizer, plan)
    for done in recogniser.transcribe(batches, decoder.search, decoder.decoding):
        for id, reference, hypothesis in zip(
            done.ids, done.references, done.hypotheses, strict=True
        ):
            rows[id] = {"id": id, "reference": reference, "hypothesis": hypothesis}
        reporter.progress(f"{run.cell.variant} {split_name} {decoder.label}", len(rows), len(split))
    return [rows[id] for id in split.ids]


def _scores(run: Run, rows: list[dict[str, Any]], other_side: list[str] | None) -> Score:
    references = [row["reference"] for row in rows]
    hypotheses = [row["hypothesis"] for row in rows]
    return score(references, hypotheses, run.cell.score.profile, run, other_side)


def _unknown_symbols(run: Run, recogniser: Recogniser, rows: list[dict[str, Any]]) -> int:
    profile = run.cell.score.profile
    unknown = recogniser.tokenizer.unknown([row["reference"] for row in rows]).items()
    return sum(count for symbol, count in unknown if counts_symbol(symbol, profile))


def _figures(
    run: Run,
    recogniser: Recogniser,
    rows: list[dict[str, Any]],
    scores: Score,
    unknown_symbols: int,
) -> dict[str, Any]:
    """The figures in `scores.json`. Operations are those of the forward pass for 10 s of audio."""
    hypotheses = [row["hypothesis"] for row in rows]
    return {
        "checkpoint": run.rule,
        "epoch": recogniser.epoch,
        **scores.plain(),
        "utterances": len(rows),
        "unknown_symbols": unknown_symbols,
        "empty_hypotheses": sum(not text for text in hypotheses),
        "distinct_hypotheses": len(set(hypotheses)),
        "parameters": recogniser.model.parameter_count,
        "flops_per_audio_second": forward_flops(
            recogniser.cell.model, run.cell.features, len(recogniser.tokenizer)
        ),
    }


def _other_side(run: Run, split: Split) -> str | None:
    """A note if the model was trained on a side of the text that its profile does not count."""
    trained, profile = run.cell.text.side, run.cell.score.profile
    if trained not in split.sides or trained == PROFILES[profile].other_side_among(split.sides):
        return None
    pairs = zip(split.column(trained), split.texts, strict=True)
    differ = sum(counted(one, profile) != counted(other, profile) for one, other in pairs)
    if not differ:
        return None
    return (
        f"trained on '{trained}', scored against '{split.side}' under {PROFILES[profile]}; they "
        f"differ in {differ:,} of {len(split):,} utterances"
    )
