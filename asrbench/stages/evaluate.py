"""Decoding a split with a trained run and scoring it; or any audio files, unscored."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asrbench.base.errors import UserError, pick
from asrbench.base.files import write_jsonl
from asrbench.base.reporting import Reporter
from asrbench.data.audio import AudioFault, read_audio
from asrbench.data.batch_sampler import length_plan
from asrbench.data.corpus import Corpus, Split
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.run_folder import Run
from asrbench.models.flops import forward_flops
from asrbench.recogniser.devices import resolve_device
from asrbench.recogniser.loader import load, make_batch
from asrbench.recogniser.recogniser import Recogniser
from asrbench.scoring.score import counted, counts_symbol, score
from asrbench.text.profiles import PROFILES

CHECKPOINT = "best"
"""The weights with the lowest dev CER: the test split has no say in which are used."""


def load_recogniser(run: Run, device: str, which: str = CHECKPOINT) -> Recogniser:
    """The recogniser of `run`. Raises `UserError` if its checkpoint is of another spec."""
    path = run.weights_path(which)
    recogniser = Recogniser.load(path, resolve_device(device))
    found = recogniser.cell.identity(recogniser.fingerprint)
    wanted = run.cell.identity(recogniser.fingerprint)
    if found != wanted:
        raise UserError(
            f"{path}: found the weights of another spec ({found}), but "
            f"{run.spec_path.name} beside them is {wanted}; train it again"
        )
    return recogniser


def open_corpus(run: Run, recogniser: Recogniser) -> Corpus:
    """The corpus of `run`. Raises `UserError` if it is no longer the one it was trained on."""
    corpus = Corpus.open(Path(run.cell.corpus))
    if corpus.fingerprint != recogniser.fingerprint:
        raise UserError(
            f"{corpus.folder}: found a corpus with fingerprint {corpus.fingerprint}, but {run} "
            f"was trained on {recogniser.fingerprint}"
        )
    return corpus


def evaluate(
    run: Run, split_name: str, decode: str, device: str, reporter: Reporter
) -> dict[str, Any]:
    """Leaves the hypotheses and figures of `run` on that split; returns the figures.

    References are of the side that the scoring profile asks for, where the corpus has it; its
    other sides stand beside them, for other profiles. Seconds are those of features, model and
    decoding together; the real-time factor is seconds of work for a second of audio. Operations
    for a second of it are those of `forward_flops`: no decoding, and 10 s of audio.
    """
    recogniser = load_recogniser(run, device)
    pick(f"{run}: --decode", decode, recogniser.decodes())
    split = open_corpus(run, recogniser).split(split_name)
    split = split.on(PROFILES[run.cell.score.profile].side_among(split.sides))
    plan = length_plan(split.samples, run.cell.train.batch_seconds)
    rows: dict[str, dict[str, Any]] = {}
    started_at = time.perf_counter()
    for done in recogniser.transcribe(load(split, recogniser.tokenizer, plan), decode):
        for id, reference, hypothesis in zip(
            done.ids, done.references, done.hypotheses, strict=True
        ):
            rows[id] = {"id": id, "reference": reference, "hypothesis": hypothesis}
        reporter.progress(f"{run.cell.variant} {split_name} {decode}", len(rows), len(split))
    seconds = time.perf_counter() - started_at
    in_order = [rows[id] for id in split.ids]
    others = {side: split.column(side) for side in split.sides if side != split.side}
    speakers = split.column("speaker")
    for i, row in enumerate(in_order):
        row.update({side: texts[i] for side, texts in others.items()})
        row["seconds"] = round(float(split.samples[i]) / SAMPLE_RATE_HZ, 4)
        if speakers[i] is not None:
            row["speaker"] = speakers[i]
    write_jsonl(run.hypotheses_path(split_name, decode), in_order)
    if note := _other_side(run, split):
        reporter.say(f"{run}: {note}")
    figures = _figures(run, recogniser, in_order) | {
        "side": split.side,
        "sides": list(split.sides),
        "settings": run.cell.decode.model_dump() if decode == "joint" else {},
        "seconds": seconds,
        "audio_seconds": split.hours * 3600,
        "real_time_factor": seconds / (split.hours * 3600),
    }
    run.write_scores(split_name, decode, figures)
    return figures


def _figures(run: Run, recogniser: Recogniser, rows: list[dict[str, Any]]) -> dict[str, Any]:
    references = [row["reference"] for row in rows]
    hypotheses = [row["hypothesis"] for row in rows]
    profile = run.cell.score.profile
    unknown = recogniser.tokenizer.unknown(references).items()
    return {
        "checkpoint": CHECKPOINT,
        "epoch": recogniser.epoch,
        **score(references, hypotheses, profile, run).plain(),
        "utterances": len(rows),
        "unknown_symbols": sum(n for symbol, n in unknown if counts_symbol(symbol, profile)),
        "empty_hypotheses": sum(not text for text in hypotheses),
        "distinct_hypotheses": len(set(hypotheses)),
        "parameters": recogniser.model.parameter_count,
        "flops_per_audio_second": forward_flops(
            run.cell.model, run.cell.features, len(recogniser.tokenizer)
        ),
        "device": recogniser.device.type,
        "corpus": recogniser.fingerprint,
    }


def _other_side(run: Run, split: Split) -> str | None:
    """Where a model was trained to write one side and is held against another, in words."""
    trained, profile = run.cell.text.side, run.cell.score.profile
    if trained not in split.sides:
        return None
    pairs = zip(split.column(trained), split.texts, strict=True)
    differ = sum(counted(one, profile) != counted(other, profile) for one, other in pairs)
    if not differ:
        return None
    return (
        f"trained on '{trained}', scored against '{split.side}' under {PROFILES[profile]}; they "
        f"differ in {differ:,} of {len(split):,} utterances"
    )


def transcribe(run: Run, paths: list[Path], decode: str, device: str) -> Iterator[tuple[Path, str]]:
    """The text of each audio file. Raises `UserError` for the first that is none."""
    recogniser = load_recogniser(run, device)
    pick(f"{run}: --decode", decode, recogniser.decodes())
    for path in paths:
        try:
            wave = read_audio(path)
        except AudioFault as fault:
            detail = f" ({fault.detail})" if fault.detail else ""
            raise UserError(f"{path}: {fault.reason}{detail}; allowed: audio, mono") from None
        batch = make_batch([str(path)], [""], [wave], recogniser.tokenizer)
        for done in recogniser.transcribe([batch], decode):
            yield path, done.hypotheses[0]
