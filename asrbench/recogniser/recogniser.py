"""The recogniser: a model with the features and the tokenizer that it needs, and its weights file.

Legend: B batch, T frames, D width.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from asrbench.base.errors import UserError
from asrbench.experiment.spec import Cell, RecordedCell
from asrbench.models.alignment import AlignedSpan
from asrbench.models.features import Features
from asrbench.models.heads.head import Decoding, Encoded, Head, Ratio
from asrbench.models.model import build_model
from asrbench.recogniser import weights_file
from asrbench.recogniser.devices import autocast
from asrbench.recogniser.loader import Batch
from asrbench.text.tokenizer import Tokenizer

A_FRAME = 3
"""Symbols in a frame, on average, beyond which a text is not aligned: its search went astray, and a
transducer would need memory for each pair of frame and symbol."""


@dataclass(frozen=True)
class Transcribed:
    """The texts of one batch, and the diagnostics of its head."""

    ids: list[str]
    references: list[str]
    hypotheses: list[str]
    symbols: list[list[int]]
    """The symbols that spell each hypothesis."""
    diagnostics: dict[str, Ratio]
    """Empty unless they were asked for."""
    spans: list[list[AlignedSpan] | None]
    """When the symbols of each utterance are spoken, as `aligned` says; empty unless asked for."""


class Recogniser:
    """Features, model and tokenizer of one cell, on one device."""

    def __init__(
        self, cell: Cell, tokenizer: Tokenizer, fingerprint: str, device: torch.device
    ) -> None:
        self.cell, self.tokenizer, self.fingerprint = cell, tokenizer, fingerprint
        self.device = device
        self.epoch: int | None = None
        """The number of epochs the weights were trained for, if they come from a checkpoint."""
        self.features = Features(cell.features).to(device)
        self.model = build_model(
            cell.model, bins=self.features.bins, symbols=len(tokenizer), seed=cell.seed
        ).to(device)

    def with_weights(self, weights: dict[str, torch.Tensor]) -> "Recogniser":
        """Returns a recogniser of the same cell whose model has the state `weights`."""
        other = Recogniser(self.cell, self.tokenizer, self.fingerprint, self.device)
        other.model.load_state_dict(weights)
        return other

    @property
    def searches(self) -> tuple[str, ...]:
        """The names of the searches that this model can be decoded with."""
        return tuple(self.model.head.searches)

    @property
    def selection(self) -> str:
        """The name of the search that decodes the development set in training."""
        return self.model.head.selection

    @torch.inference_mode()
    def transcribe(
        self,
        batches: Iterable[Batch],
        search: str,
        decoding: Decoding | None = None,
        *,
        diagnose: bool = False,
        align: bool = False,
    ) -> Iterator[Transcribed]:
        """Yields the texts of each batch, decoded with `search` in eval mode.

        Without `decoding`, its settings are those of the spec, without a language model. Restores
        the mode of the model at the end. `diagnose` adds the diagnostics of the head, and `align`
        when each symbol is spoken.
        """
        decoding = decoding or Decoding(self.cell.decode)
        was_training = self.model.training
        self.model.eval()
        try:
            for batch in batches:
                yield self._transcribe(batch, search, decoding, diagnose, align)
        finally:
            self.model.train(was_training)

    def encode(self, batch: Batch) -> Encoded:
        """Returns the encoder's output for a batch."""
        x_BTF, _ = self.features(batch.waves_BS.to(self.device), batch.samples_B.to(self.device))
        with self.precision():
            return self.model.encode(x_BTF, self.features.frames(batch.samples_B))

    @property
    def aligns(self) -> bool:
        """Whether the head can say when symbols are spoken."""
        return type(self.model.head).aligned is not Head.aligned

    def aligned(self, alone: Encoded, symbols: list[int]) -> list[AlignedSpan] | None:
        """Returns when each of the symbols is spoken in `alone`, which holds one utterance.

        None for a head that does not align, and for an utterance with too few frames.
        """
        frames = int(alone.cpu_lengths_B)
        if frames < self.model.head.frames_needed(symbols) or len(symbols) > frames * A_FRAME:
            return None
        with self.precision():
            return self.model.head.aligned(alone, symbols)

    def precision(self) -> AbstractContextManager[object]:
        """Returns the context in which the model runs: autocast where the precision asks for it."""
        return autocast(self.device, self.cell.train.precision)

    def _transcribe(
        self, batch: Batch, search: str, decoding: Decoding, diagnose: bool, align: bool
    ) -> Transcribed:
        encoded, head = self.encode(batch), self.model.head
        with self.precision():
            symbols = head.searches[search](encoded, decoding)
            diagnostics = head.diagnostics(encoded) if diagnose else {}
        hypotheses = [self.tokenizer.decode(each) for each in symbols]
        spans = [
            self.aligned(encoded.utterance(b), symbols[b]) for b in range(len(symbols)) if align
        ]
        return Transcribed(batch.ids, batch.references, hypotheses, symbols, diagnostics, spans)

    # On disk

    def save(self, path: Path, epoch: int) -> None:
        """Writes the weights as safetensors, with metadata from which `load` builds the model.

        `epoch` is the number of epochs the weights were trained for.
        """
        metadata = weights_file.Metadata(
            epoch=epoch,
            cell=self.cell.plain(),
            fingerprint=self.fingerprint,
            **self.tokenizer.plain(),
        )
        weights = {name: t.detach().cpu() for name, t in self.model.state_dict().items()}
        weights_file.write(path, weights, metadata)

    @classmethod
    def load(cls, path: Path, device: torch.device) -> "Recogniser":
        """Returns the recogniser saved at `path`; the plug-ins of its cell must be loaded.

        Raises `UserError` for a file that `save` did not write, or that was damaged since.
        """
        metadata, weights = weights_file.read(path)
        try:
            cell = Cell.model_validate_json(json.dumps(metadata.cell))
            tokenizer = Tokenizer.of_plain(metadata.tokenizer)
            recogniser = cls(cell, tokenizer, metadata.fingerprint, device)
            recogniser.model.load_state_dict(weights)
        except (ValidationError, KeyError, RuntimeError):
            raise UserError(
                f"{path}: found a checkpoint of another version of asrbench; train the run again"
            ) from None
        recogniser.epoch = metadata.epoch
        return recogniser

    @staticmethod
    def epoch_of(path: Path) -> int | None:
        """Returns the number of epochs of the weights saved at `path`; None without a file."""
        metadata = weights_file.read_metadata(path)
        return None if metadata is None else metadata.epoch

    @staticmethod
    def spec_of(path: Path) -> tuple[RecordedCell, str] | None:
        """Returns the spec of the weights saved at `path` and the fingerprint of their corpus.

        None without an intact file of this version.
        """
        metadata = weights_file.read_metadata(path)
        if metadata is None:
            return None
        try:
            cell = RecordedCell.model_validate_json(json.dumps(metadata.cell))
        except ValidationError:
            return None
        return cell, metadata.fingerprint

    @staticmethod
    def tokenizer_of(path: Path) -> Tokenizer | None:
        """Returns the tokenizer of the weights saved at `path`; None without an intact file."""
        try:
            metadata, _ = weights_file.read(path)
            return Tokenizer.of_plain(metadata.tokenizer)
        except (UserError, KeyError, ValueError, RuntimeError):
            return None
