"""Does a user's own mechanism hold what this program promises of every model?

A plug-in's kinds are put into small models, which are trained on a few seconds of tones with the
package's own loop. The same promises are held by the tests for the package's own kinds.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from asrbench.base.errors import UserError
from asrbench.base.reporting import Silent
from asrbench.data.corpus_writer import CorpusWriter, Utterance
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.experiment.registry import MODELS, defining_kinds
from asrbench.experiment.spec import PluginFile
from asrbench.experiment.spec_file import merged_with_sets
from asrbench.experiment.spec_model import ATTENTION, ENCODERS, HEADS, LOSS_TERMS
from asrbench.recogniser.loader import Batch, load
from asrbench.recogniser.recogniser import Recogniser
from asrbench.training.loop import train
from asrbench.training.setup import TrainingSetup, set_up
from asrbench.training.step import Trainer
from asrbench.training.stopping import Deadline, TimeUp

TEXTS = ("abca", "bc", "cabac")
"""The texts of the utterances; a model has to learn the first two by heart."""
TOLERANCE = 1e-3
"""Greatest difference between alone and in a batch, relative to the largest output."""
BF16_TOLERANCE = 0.1
"""Relative difference between the first loss in bf16 and in fp32."""
LEARNING_RATE = 3e-3
"""At 1e-2 one seed in twelve of a sound attention did not learn two utterances in 400 epochs; at
this rate each of twenty seeds had learned them after 110."""
EPOCHS = 400
"""Passes over two utterances within which a model has to learn them."""

CHOSEN = ("experiment", "variant", "corpus", "fold", "plugins")
"""Keys that `check` chooses itself: another one would write elsewhere or check another thing."""

SMALL: dict[str, Any] = {
    "kind": "deepspeech2",
    "front_end": {"kind": "ds2", "channels": 4},
    "recurrence": {"layers": 1, "width": 32, "dropout": 0.0},
}
"""The baseline's encoder at a size that a CPU trains in seconds; it carries what is checked."""


@dataclass(frozen=True)
class Finding:
    """The result of one check of one model."""

    model: str
    check: str
    held: bool
    detail: str


@dataclass(frozen=True)
class Subject:
    """A model to be checked: a name, and its sections as a spec has them."""

    name: str
    model: dict[str, Any]


def subjects(plugin: PluginFile) -> list[Subject]:
    """Returns a small model for every model and every kind that `plugin` registers.

    A kind that a model of the plug-in uses is checked with that model. Raises `UserError` for a
    plug-in that registers nothing.
    """
    origin, found = plugin.path, []
    for name, entry in MODELS.items():
        if entry.origin == origin:
            found.append(Subject(name, {"encoder": _small(entry.encoder), "head": entry.head}))
    used = {kind for subject in found for kind in defining_kinds(subject.model).values()}
    ctc = {"kind": "ctc"}
    for table, place in (
        (ATTENTION, lambda kind: {"encoder": SMALL | {"attention": {"kind": kind}}, "head": ctc}),
        (ENCODERS, lambda kind: {"encoder": {"kind": kind}, "head": ctc}),
        (HEADS, lambda kind: {"encoder": SMALL, "head": {"kind": kind}}),
        (LOSS_TERMS, lambda kind: {"encoder": SMALL, "head": ctc, "loss_terms": [{"kind": kind}]}),
    ):
        for registered in table.by_origin(origin):
            if registered.kind not in used:
                name = f"{table.section} {registered.kind}"
                found.append(Subject(name, place(registered.kind)))
    if not found:
        raise UserError(
            f"{plugin.path}: registers nothing; call asrbench.register_attention, "
            f"register_encoder, register_head, register_loss_term or register_model"
        )
    return found


def check(plugin: PluginFile, sets: list[str]) -> Iterator[Finding]:
    """Yields what each check finds of each subject of `plugin`; `sets` changes their sizes."""
    with tempfile.TemporaryDirectory(prefix="asrbench-check-") as folder:
        for subject in subjects(plugin):
            yield from _Checks(subject, plugin, sets, Path(folder) / subject.name).findings()


def _small(encoder: Any) -> dict[str, Any]:
    """Returns the keys of an encoder, the baseline's at a small size."""
    return {**SMALL, **encoder} if encoder["kind"] == SMALL["kind"] else dict(encoder)


class _Checks:
    """The checks of one subject, in a folder of its own."""

    def __init__(self, subject: Subject, plugin: PluginFile, sets: list[str], folder: Path) -> None:
        self.subject, self.plugin, self.folder = subject, plugin, folder
        self.sets = sets
        write_tones(folder / "three", TEXTS)
        write_tones(folder / "two", TEXTS[:2])

    def findings(self) -> Iterator[Finding]:
        for name, run in (
            ("padding", self._padding),
            ("gradients", self._gradients),
            ("bf16", self._bf16),
            ("exact resume", self._resume),
            ("overfits two utterances", self._overfit),
        ):
            yield self._finding(name, run)

    def _finding(self, check: str, run: Callable[[], tuple[bool, str]]) -> Finding:
        try:
            held, detail = run()
        except UserError:
            raise
        except Exception as error:
            held, detail = False, f"{type(error).__name__}: {error}".splitlines()[0]
        return Finding(self.subject.name, check, held, detail)

    def _setup(self, results: str, *, corpus: str = "three", **train: Any) -> TrainingSetup:
        keys: dict[str, Any] = {
            "experiment": "check",
            "variant": "checked",
            "seed": 0,
            "corpus": str(self.folder / corpus),
            "features": {"kind": "log_mel", "bands": 20},
            "augment": {"frequency_masks": 0, "time_masks": 0},
            "model": {"name": self.subject.name, **self.subject.model},
            "train": {
                "batch_seconds": 10.0,
                "precision": "fp32",
                "optimizer": {"kind": "adamw", "lr": LEARNING_RATE, "clip_norm": 20.0},
                "schedule": {"kind": "constant", "warmup": 0.0},
                **train,
            },
            "plugins": [self.plugin.model_dump()],
        }
        cell = merged_with_sets(keys, self.sets)
        self._check_chosen(keys, cell.plain())
        return set_up(cell, self.folder / results)

    def _check_chosen(self, keys: dict[str, Any], plain: dict[str, Any]) -> None:
        """Raises `UserError` where `--set` has replaced what is checked, and not only its sizes."""
        chosen = {key: keys.get(key) for key in CHOSEN} | {"model.name": self.subject.name}
        found = {key: plain[key] for key in CHOSEN} | {"model.name": plain["model"]["name"]}
        own = self._own_kinds()
        chosen |= {f"{path}.kind": kind for path, kind in _kinds(self.subject.model) if own(kind)}
        found |= {f"{path}.kind": kind for path, kind in _kinds(plain["model"])}
        for key, value in chosen.items():
            if found.get(key) != value:
                raise UserError(
                    f"--set {key}: found {found.get(key)!r}, allowed: {value!r}, which is what "
                    f"`check` chooses; --set changes sizes"
                )

    def _own_kinds(self) -> Callable[[str], bool]:
        """Returns whether a kind is what is checked: every kind of a model, else the plug-in's."""
        if self.subject.name in MODELS:
            return lambda kind: True
        tables = (ATTENTION, ENCODERS, HEADS, LOSS_TERMS)
        registered = {each.kind for table in tables for each in table.by_origin(self.plugin.path)}
        return registered.__contains__

    def _trainer(self, precision: str = "fp32") -> tuple[Trainer, Batch]:
        setup = self._setup("trainer", precision=precision)
        trainer = Trainer(setup.cell, setup.tokenizer, setup.corpus.fingerprint, setup.device)
        (batch,) = load(setup.train, setup.tokenizer, [list(range(len(setup.train)))])
        return trainer, batch

    def _padding(self) -> tuple[bool, str]:
        """An utterance alone and in a batch with longer ones gives the same outputs."""
        setup = self._setup("padding")
        recogniser = Recogniser(setup.cell, setup.tokenizer, setup.corpus.fingerprint, setup.device)
        everything = list(range(len(setup.train)))
        batches = list(load(setup.train, setup.tokenizer, [everything, *([i] for i in everything)]))
        recogniser.model.eval()
        with torch.inference_mode():
            whole, *alone = [recogniser.encode(batch) for batch in batches]
        worst = 0.0
        for index, other in enumerate(alone):
            mine = whole.utterance(index).x_BTD
            if mine.shape != other.x_BTD.shape:
                return False, f"frames: {mine.shape[1]} in a batch, {other.x_BTD.shape[1]} alone"
            scale = float(other.x_BTD.abs().max()) or 1.0
            worst = max(worst, float((mine - other.x_BTD).abs().max()) / scale)
        texts = [
            [text for done in recogniser.transcribe(some, search) for text in done.hypotheses]
            for search in recogniser.searches
            for some in (batches[:1], batches[1:])
        ]
        same = all(a == b for a, b in zip(texts[::2], texts[1::2], strict=True))
        return worst < TOLERANCE and same, f"differs by {worst:.0e}" + (
            "" if same else "; texts differ"
        )

    def _gradients(self) -> tuple[bool, str]:
        """A gradient that is not zero reaches every parameter that is trained."""
        trainer, batch = self._trainer()
        trainer.step([batch], epoch=0, number=0, progress=0.0)
        parameters = [
            (name, p) for name, p in trainer.recogniser.model.named_parameters() if p.requires_grad
        ]
        without = [name for name, p in parameters if p.grad is None or not p.grad.any()]
        return not without, (
            f"none reaches {', '.join(without[:3])}" if without else f"{len(parameters)} parameters"
        )

    def _bf16(self) -> tuple[bool, str]:
        """The first loss in bf16 is near that in fp32, and the gradient is finite."""
        found = []
        for precision in ("fp32", "bf16"):
            trainer, batch = self._trainer(precision)
            metrics = trainer.step([batch], epoch=0, number=0, progress=0.0)
            found.append((float(metrics.losses["total"]), float(metrics.gradient_norm)))
        (exact, _), (rounded, norm) = found
        difference = abs(rounded - exact) / abs(exact)
        return bool(difference < BF16_TOLERANCE and np.isfinite(norm)), (
            f"loss {rounded:.4g}, {exact:.4g} in fp32"
        )

    def _resume(self) -> tuple[bool, str]:
        """Training that was stopped and resumed ends with the bits of training that was not."""
        whole, halves = (self._setup(name, epochs=4) for name in ("whole", "halves"))
        train(whole, Silent())
        ticks = count(1)
        try:
            train(halves, Silent(), Deadline(3600 * 2.5, clock=lambda: 3600.0 * next(ticks)))
        except TimeUp:
            train(halves, Silent())
        one, other = (load_file(each.run.weights_path("last")) for each in (whole, halves))
        different = [name for name in one if not torch.equal(one[name], other[name])]
        return not different, (
            f"{', '.join(different[:3])} differ" if different else f"{len(one)} tensors are equal"
        )

    def _overfit(self) -> tuple[bool, str]:
        """The model learns two utterances by heart: the plainest sign that it can learn at all."""
        setup = self._setup("overfit", corpus="two", epochs=EPOCHS)

        def best() -> float:
            return min((float(row["dev_cer"]) for row in setup.run.history()), default=1.0)

        # The time is up as soon as it has learned them.
        with suppress(TimeUp):
            train(setup, Silent(), Deadline(1.0, clock=lambda: 0.0 if best() else 2.0))
        return best() == 0, f"CER {100 * best():.0f} % after {len(setup.run.history())} epochs"


def _kinds(node: Any, path: str = "model") -> Iterator[tuple[str, str]]:
    """Yields the dotted path of every section that has a kind, with its kind."""
    if isinstance(node, Mapping) and "kind" in node:
        yield path, node["kind"]
    below = node.items() if isinstance(node, Mapping) else enumerate(node)
    for key, value in below:
        if isinstance(value, (Mapping, list, tuple)):
            yield from _kinds(value, f"{path}.{key}")


def write_tones(folder: Path, texts: Sequence[str]) -> None:
    """Writes a corpus of tones: a letter a pitch, 0.2 s each, with a gap after it and faint noise.

    Train and dev hold the same texts.
    """
    with CorpusWriter.create(
        folder, name="tones", recipe="check", source="tones", text_profile="verbatim", strict=True
    ) as writer:
        for split in ("train", "dev"):
            for i, text in enumerate(texts):
                writer.add(split, Utterance(f"{split}{i}", _tones(text), text))


def _tones(text: str) -> Samples:
    t = np.arange(SAMPLE_RATE_HZ // 5) / SAMPLE_RATE_HZ
    gap = np.zeros(SAMPLE_RATE_HZ // 10)
    wave = np.concatenate(
        [
            piece
            for letter in text
            for piece in (np.sin(2 * np.pi * 400 * (1 + ord(letter) - ord("a")) * t), gap)
        ]
    )
    noise = np.random.default_rng(0).normal(0, 0.01, len(wave))
    return np.asarray((wave + noise) * 8000, dtype=np.int16)
