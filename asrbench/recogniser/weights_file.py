"""The weights file: the tensors of a model as safetensors, with metadata and a digest of both.

The digest shows damage, which safetensors does not notice: it checks no more than the sizes.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import Tensor

from asrbench.base.errors import UserError
from asrbench.base.files import atomic

_KEY = "asrbench"
"""The key of safetensors' own metadata that holds ours, as JSON."""

_REMEDY = "restore the file, or delete the run folder and train the run again"


class Metadata(BaseModel):
    """What a weights file holds beside the tensors.

    Unknown keys are refused, so that damage to the name of a key is noticed too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    epoch: int | None = None
    """The number of epochs that the weights were trained for."""
    cell: dict[str, Any]
    """The cell as `Cell.plain` gives it."""
    fingerprint: str
    """The fingerprint of the corpus."""
    unit: str
    symbols: list[str] | None = None
    bpe: str | None = None
    digest: str | None = None
    """16 hexadecimal digits of the SHA-256 of all the rest; None in files of earlier versions."""

    @property
    def tokenizer(self) -> dict[str, Any]:
        """The tokenizer as `Tokenizer.of_plain` reads it."""
        return self.model_dump(include={"unit", "symbols", "bpe"}, exclude_none=True)


def write(path: Path, weights: Mapping[str, Tensor], metadata: Metadata) -> None:
    """Writes a weights file with its digest, as `atomic` does. The tensors are on the CPU."""
    signed = metadata.model_copy(update={"digest": _whole_digest(weights, metadata)})
    with atomic(path) as temporary:
        # From Python, because the errors of `save_file` have no number and no name of a file.
        temporary.write_bytes(
            serialised(dict(weights), {_KEY: signed.model_dump_json(exclude_none=True)})
        )


def read(path: Path) -> tuple[Metadata, dict[str, Tensor]]:
    """Returns the metadata and the tensors of a weights file.

    Raises `UserError` for a file that `write` did not write, that was changed since, or whose
    weights are not all finite.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; `asrbench train` makes it")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: found no safetensors file ({error}); {_REMEDY}") from None
    if text is None:
        raise UserError(f"{path}: found weights that `asrbench train` did not write")
    try:
        metadata = Metadata.model_validate_json(text)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"])) or "no JSON"
        raise UserError(
            f"{path}: found metadata that is damaged, or of another version of asrbench ({key}); "
            f"{_REMEDY}"
        ) from None
    if metadata.digest not in (None, _whole_digest(weights, metadata)):
        raise UserError(
            f"{path}: is damaged, its content does not have its digest {metadata.digest}; {_REMEDY}"
        )
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise UserError(
                f"{path}: found weights in {name} that are not finite, which give no text; "
                f"{_REMEDY}"
            )
    return metadata, weights


def read_metadata(path: Path) -> Metadata | None:
    """Returns the metadata of a weights file without reading its tensors.

    None without a file, or if its metadata cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return Metadata.model_validate_json((file.metadata() or {}).get(_KEY, ""))
    except (OSError, SafetensorError, ValidationError):
        return None


def _whole_digest(weights: Mapping[str, Tensor], metadata: Metadata) -> str:
    """Returns the digest of a whole weights file, all metadata included."""
    return digest_of(weights, metadata.model_dump(exclude={"digest"}, exclude_none=True))


def digest_of(weights: Mapping[str, Tensor], plain: Mapping[str, Any]) -> str:
    """Returns 16 hexadecimal digits of the SHA-256 of `plain` and of every tensor with its name.

    The order of the keys and of the tensors does not count.
    """
    content = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name, tensor in sorted(weights.items()):
        content.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        content.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()[:16]
