"""`asrbench export`: graphs that compute what the run does, or nothing."""

import json
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
import torch
from doors import error, run
from small_models import BINS, SYMBOLS, build, every_model, features
from tones import TEXTS, cell_of, make_corpus, spoken, trained

from asrbench.base.errors import UserError
from asrbench.experiment.run_folder import Run
from asrbench.models.heads.ctc import Ctc
from asrbench.models.heads.head import Decoding
from asrbench.recogniser import graphs
from asrbench.recogniser.graphs import SHAPES, Graph, graphs_of
from asrbench.recogniser.loading import load_recogniser
from asrbench.stages.transcribe import Settings, Source, transcribe
from asrbench.text.tokenizer import BLANK

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

CASES = every_model()


class Bare:
    """What `graphs_of` reads of a recogniser."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.features = type("Features", (), {"bins": BINS})


def session(content: bytes) -> Any:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("case", CASES)
def test_every_kind_is_exported(case: str) -> None:
    """What is returned was compared; here once more, by hand, at a shape of its own."""
    model = build(CASES[case])
    first, *parts = graphs_of(Bare(model))  # type: ignore[arg-type]
    assert {part.name for part in parts} == model.head.parts().keys()
    x_BTF, frames_B = features(2, 71, BINS), torch.tensor([71, 20])
    outputs = session(first.content).run(None, {"x": x_BTF.numpy(), "x_lens": frames_B.numpy()})
    with torch.inference_mode():
        mask_BT1 = (torch.arange(71) < frames_B[:, None])[..., None]
        mean = (x_BTF * mask_BT1).sum(1, keepdim=True) / frames_B[:, None, None]
        x_BTF = (x_BTF - mean) * mask_BT1
        variance = x_BTF.square().sum(1, keepdim=True) / frames_B[:, None, None]
        encoded = model.encode(x_BTF / (variance + 1e-5).sqrt(), frames_B)
        log_probs_BTV = model.head.frame_log_probs(encoded)
    wanted = encoded.x_BTD if log_probs_BTV is None else log_probs_BTV
    assert outputs[1].tolist() == encoded.lengths_B.tolist()
    for b, length in enumerate(outputs[1]):
        torch.testing.assert_close(
            torch.from_numpy(outputs[0][b, :length]), wanted[b, :length], rtol=1e-4, atol=1e-4
        )
