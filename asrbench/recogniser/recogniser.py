"""A model with all it needs to turn waveforms into text, and its metadata on disk.

Legend: B batch, T frames, D width, V symbols.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from asrbench.base.errors import UserError
from asrbench.base.files import atomic
from asrbench.experiment.run_folder import DECODES
from asrbench.experiment.spec import Cell
from asrbench.models.encoders.deepspeech2 import DeepSpeech2
from asrbench.models.features import Features
from asrbench.models.layers.masking import valid_frames
from asrbench.models.searches import attention_greedy, ctc_greedy, joint_beam
from asrbench.recogniser.devices import autocast
from asrbench.recogniser.loader import Batch
from asrbench.text.tokenizer import BLANK, Tokenizer


@dataclass(frozen=True)
class Transcribed:
    """What became of one batch: a text for each utterance, and how often CTC said nothing."""

    ids: list[str]
    references: list[str]
    hypotheses: list[str]
    blank_frames: int
    frames: int


class Heard(NamedTuple):
    encoder_BTD: Tensor
    log_probs_BTV: Tensor
    """Of CTC."""
    lengths_B: Tensor


class Recogniser:
    """Features, model and tokenizer of one cell, on one device."""

    def __init__(
        self, cell: Cell, tokenizer: Tokenizer, fingerprint: str, device: torch.device
    ) -> None:
        self.cell, self.tokenizer, self.fingerprint = cell, tokenizer, fingerprint
        self.device = device
        self.epoch: int | None = None
        """Epochs behind the weights, where they come from a checkpoint."""
        self.features = Features(cell.features).to(device)
        self.model = DeepSpeech2(
            cell.model, bins=self.features.bins, symbols=len(tokenizer), seed=cell.seed
        ).to(device)

    def decodes(self) -> tuple[str, ...]:
        """The ways this model can be decoded."""
        return DECODES if self.model.decoder is not None else DECODES[:1]

    @torch.inference_mode()
    def transcribe(self, batches: Iterable[Batch], decode: str) -> Iterator[Transcribed]:
        """Decodes batch by batch, in eval mode; the model's mode is put back at the end."""
        was_training = self.model.training
        self.model.eval()
        try:
            for batch in batches:
                yield self._transcribe(batch, decode)
        finally:
            self.model.train(was_training)

    def heard(self, batch: Batch) -> Heard:
        """What the model makes of a batch before anything is decoded."""
        x_BTF, frames_B = self.features(
            batch.waves_BS.to(self.device), batch.samples_B.to(self.device)
        )
        with self.precision():
            encoder_BTD, lengths_B = self.model.encode(x_BTF, frames_B)
            return Heard(encoder_BTD, self.model.ctc(encoder_BTD), lengths_B)

    def precision(self) -> AbstractContextManager[object]:
        """In which the model runs."""
        return autocast(self.device, self.cell.train.precision)

    def _transcribe(self, batch: Batch, decode: str) -> Transcribed:
        encoder_BTD, log_probs_BTV, lengths_B = self.heard(batch)
        with self.precision():
            match decode:
                case "greedy":
                    symbols = ctc_greedy(log_probs_BTV, lengths_B)
                case "attention":
                    symbols = self._attention(encoder_BTD, lengths_B)
                case "joint":
                    symbols = self._joint(encoder_BTD, log_probs_BTV, lengths_B)
        mask_BT = valid_frames(lengths_B, log_probs_BTV.shape[1])
        return Transcribed(
            batch.ids,
            batch.references,
            [self.tokenizer.decode(s) for s in symbols],
            int(((log_probs_BTV.argmax(-1) == BLANK) & mask_BT).sum()),
            int(lengths_B.sum()),
        )

    def _attention(self, encoder_BTD: Tensor, lengths_B: Tensor) -> list[list[int]]:
        decoder = self.model.decoder
        assert decoder is not None
        mask_BT = valid_frames(lengths_B, encoder_BTD.shape[1])
        return attention_greedy(
            lambda prefix_BU: decoder(encoder_BTD, mask_BT, prefix_BU)[:, -1],
            len(encoder_BTD),
            lengths_B.tolist(),
            self.device,
        )

    def _joint(
        self, encoder_BTD: Tensor, log_probs_BTV: Tensor, lengths_B: Tensor
    ) -> list[list[int]]:
        decoder, settings = self.model.decoder, self.cell.decode
        assert decoder is not None
        found = []
        for b, length in enumerate(lengths_B.tolist()):
            memory_1TD = encoder_BTD[b : b + 1, :length]
            mask_1T = torch.ones(1, length, dtype=torch.bool, device=self.device)

            def step(
                prefix_NU: Tensor, memory_1TD: Tensor = memory_1TD, mask_1T: Tensor = mask_1T
            ) -> Tensor:
                n = len(prefix_NU)
                memory_NTD, mask_NT = memory_1TD.expand(n, -1, -1), mask_1T.expand(n, -1)
                log_probs_NUV: Tensor = decoder(memory_NTD, mask_NT, prefix_NU)
                return log_probs_NUV[:, -1]

            found.append(
                joint_beam(
                    step,
                    log_probs_BTV[b, :length],
                    beam=settings.beam,
                    ctc_weight=settings.ctc_weight,
                    limit=length,
                )
            )
        return found

    # On disk

    def save(self, path: Path, epoch: int) -> None:
        """Weights as safetensors, with what is needed to build the model again beside them.

        `epoch` is the number of epochs that made them.
        """
        metadata = {
            "epoch": epoch,
            "cell": self.cell.plain(),
            "fingerprint": self.fingerprint,
            **self.tokenizer.plain(),
        }
        weights = {name: t.detach().cpu() for name, t in self.model.state_dict().items()}
        with atomic(path) as temporary:
            save_file(weights, temporary, {"asrbench": json.dumps(metadata, ensure_ascii=False)})

    @classmethod
    def load(cls, path: Path, device: torch.device) -> "Recogniser":
        """The recogniser that was saved. Raises `UserError` for anything else."""
        if not path.is_file():
            raise UserError(f"{path}: no such checkpoint; `asrbench train` makes it")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = _read_metadata(file)
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise UserError(f"{path}: found no safetensors file ({error})") from None
        if metadata is None:
            raise UserError(f"{path}: found weights that `asrbench train` did not write")
        recogniser = cls._from_metadata(metadata, device)
        recogniser.model.load_state_dict(weights)
        recogniser.epoch = metadata.get("epoch")
        return recogniser

    @staticmethod
    def epoch_of(path: Path) -> int | None:
        """The number of epochs behind the weights saved there; nothing if there are none."""
        metadata = _metadata(path)
        return None if metadata is None else metadata.get("epoch")

    @staticmethod
    def tokenizer_of(path: Path) -> Tokenizer | None:
        """The tokenizer of the weights saved there; nothing if there are none."""
        metadata = _metadata(path)
        return None if metadata is None else Tokenizer.of_plain(metadata)

    @classmethod
    def _from_metadata(cls, metadata: dict[str, Any], device: torch.device) -> "Recogniser":
        return cls(
            Cell.model_validate_json(json.dumps(metadata["cell"])),
            Tokenizer.of_plain(metadata),
            metadata["fingerprint"],
            device,
        )


def _metadata(path: Path) -> dict[str, Any] | None:
    """What lies beside the weights saved there; nothing if there are none, or not whole."""
    try:
        with safe_open(path, framework="pt") as file:
            return _read_metadata(file)
    except (OSError, SafetensorError):
        return None


def _read_metadata(file: Any) -> dict[str, Any] | None:
    metadata: dict[str, Any] | None = json.loads((file.metadata() or {}).get("asrbench", "null"))
    return metadata
