"""Weights are known by their content: no damage is read, and none is scored."""

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from asrbench.base.errors import UserError
from asrbench.recogniser import weights_file
from asrbench.recogniser.weights_file import Metadata

METADATA = Metadata(
    epoch=3, cell={"seed": 0, "text": {"unit": "가"}}, fingerprint="f" * 16, unit="character"
)
WEIGHTS = {
    "w": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "half": torch.ones(5, dtype=torch.bfloat16),
    "count": torch.tensor(7),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    weights_file.write(tmp_path / "best.safetensors", WEIGHTS, METADATA)
    return tmp_path / "best.safetensors"


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_what_was_written_is_read(path: Path) -> None:
    metadata, weights = weights_file.read(path)
    assert metadata.model_copy(update={"digest": None}) == METADATA
    assert same(weights, WEIGHTS)


def test_every_flipped_bit_is_refused_in_one_line(path: Path) -> None:
    """But for a bit that changes nothing, such as white space between the keys of the header."""
    whole, draw = path.read_bytes(), random.Random(13)
    for _ in range(500):
        place = draw.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"^[^\n]*best\.safetensors: [^\n]*$"):
            weights_file.read(path)
        weights_file.read_metadata(path)  # raises nothing, whatever is damaged


@pytest.mark.parametrize("size", [0, 7, 8, 100, -1])
def test_a_cut_file_is_refused(size: int, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match="found no safetensors file"):
        weights_file.read(path)
    assert weights_file.read_metadata(path) is None


def test_other_tensors_under_the_same_metadata_are_damage(path: Path) -> None:
    metadata, weights = weights_file.read(path)
    weights["w"][0, 0] = 1e-30
    save_file(weights, path, {"asrbench": metadata.model_dump_json(exclude_none=True)})
    with pytest.raises(UserError, match=r"is damaged, its content does not have its digest"):
        weights_file.read(path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bad: float, path: Path) -> None:
    weights_file.write(path, WEIGHTS | {"w": torch.tensor([1.0, bad])}, METADATA)
    with pytest.raises(UserError, match=r"found weights in w that are not finite"):
        weights_file.read(path)


def test_a_file_of_an_earlier_version_has_no_digest_and_is_read(path: Path) -> None:
    save_file(WEIGHTS, path, {"asrbench": METADATA.model_dump_json(exclude_none=True)})
    assert same(weights_file.read(path)[1], WEIGHTS)
