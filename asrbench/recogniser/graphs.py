"""A recogniser as ONNX graphs, and whether they compute what it does.

The main graph maps features that are not normalised to log posteriors (a head that classifies
frames), to the encoder's output (a head that has parts), or to both; normalisation over the
utterance is its first step. Two exporters of torch are used: the older one traces and is right
about recurrent layers at every length, where the newer one, which all other networks get, fixes the
length of the example.

Legend: B batch, T frames, F feature bins, V vocabulary with the blank, D encoder width, N rows,
U symbols.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from asrbench.base.errors import UserError
from asrbench.models.features import normalised
from asrbench.models.graph_part import GraphPart, Sizes
from asrbench.models.heads.head import Encoded
from asrbench.models.layers.masking import valid_frames
from asrbench.models.model import Model
from asrbench.recogniser.recogniser import Recogniser

OPSET = 18

TOLERANCE = 1e-4
"""A graph may differ by this, plus this share of the value. Rounding differs by about 1e-6."""

SHAPES = ((97,), (60, 41), (33, 90, 7), (250, 1, 150, 77))
"""Frames of the utterances of each batch that a graph is compared at. The second is traced."""

SIZES = (Sizes(2, 41, 5), Sizes(1, 1, 0), Sizes(3, 97, 2), Sizes(7, 60, 30))
"""Sizes that a part of the head is compared at. The first is traced."""

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Graph:
    """A graph in the serialised form of ONNX, and the largest difference that was found."""

    name: str
    content: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    difference: float


class _Main(nn.Module):
    """Normalisation, the encoder and, where the head classifies frames, its log posteriors."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model, self.has_parts = model, bool(model.head.parts())

    def forward(self, x_BTF: Tensor, frames_B: Tensor) -> tuple[Tensor, ...]:
        x_BTF = normalised(x_BTF, valid_frames(frames_B, x_BTF.shape[1]))
        x_BTD, lengths_B = self.model.encoder(x_BTF, frames_B)
        return tuple(self.outputs(Encoded(x_BTD, lengths_B, lengths_B)).values())

    def outputs(self, encoded: Encoded) -> dict[str, Tensor]:
        """Returns log posteriors, and the encoder's output for the parts of the head, by name.

        Each is followed by its lengths: what reads one of the two needs no name of the other.
        """
        found: dict[str, Tensor] = {}
        log_probs_BTV = self.model.head.frame_log_probs(encoded)
        if log_probs_BTV is not None:
            found |= {"log_probs": log_probs_BTV, "log_probs_lens": encoded.lengths_B}
        if self.has_parts:
            found |= {"encoder_out": encoded.x_BTD, "encoder_out_lens": encoded.lengths_B}
        return found


@torch.no_grad()
def graphs_of(recogniser: Recogniser) -> list[Graph]:
    """Returns the graphs of a recogniser on the CPU, in fp32.

    Raises `UserError` for a model that torch cannot export, and for a graph that does not compute
    what the recogniser does.
    """
    recogniser.model.eval()
    parts = recogniser.model.head.parts()
    return [_main(recogniser), *(_part(name, part) for name, part in parts.items())]


def _part(name: str, part: GraphPart) -> Graph:
    generator = torch.Generator().manual_seed(0)
    examples = [part.example(sizes, generator) for sizes in SIZES]
    axes = _open(examples)
    content = _exported(name, part.module, examples[0], axes, part.outputs)
    session, difference = _Session(name, content), 0.0
    for example in examples:
        wanted = part.module(*example.values())
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        sizes = {axis: example[key].shape[d] for key in axes for d, axis in axes[key].items()}
        where = ", ".join([name, *(f"{axis} = {size}" for axis, size in sizes.items())])
        pairs = zip(session.run(where, example), map(_array, wanted), strict=True)
        difference = max(difference, *(_difference(where, *pair) for pair in pairs))
    return Graph(name, content, tuple(axes), part.outputs, difference)


def _open(examples: Sequence[Mapping[str, Tensor]]) -> dict[str, dict[int, str]]:
    """Returns the dimensions that differ between examples at `SIZES`, by name of the input.

    They are N rows and T frames; what else grows is U, the symbols that a decoder keeps.
    """
    rows, frames, _ = zip(*SIZES, strict=True)
    names = {rows: "N", frames: "T"}
    axes = {}
    for key in examples[0]:
        dimensions = zip(*(example[key].shape for example in examples), strict=True)
        axes[key] = {
            d: names.get(sizes, "U") for d, sizes in enumerate(dimensions) if len(set(sizes)) > 1
        }
    return axes


def _main(recogniser: Recogniser) -> Graph:
    main, bins = _Main(recogniser.model), recogniser.features.bins
    generator = torch.Generator().manual_seed(0)

    def example(frames: Sequence[int]) -> dict[str, Tensor]:
        # About the mean and the range of log energies, so that normalisation has work to do.
        x_BTF = 3 * torch.randn(len(frames), max(frames), bins, generator=generator) - 5
        return {"x": x_BTF, "x_lens": torch.tensor(frames)}

    def computed(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the outputs with the encoder as `Recogniser.encode` computes it."""
        x_BTF, frames_B = inputs.values()
        x_BTF = normalised(x_BTF, valid_frames(frames_B, x_BTF.shape[1]))
        return main.outputs(recogniser.model.encode(x_BTF, frames_B))

    outputs = tuple(computed(example(SHAPES[0])))
    if not outputs:
        raise UserError(
            "its head has neither log posteriors of frames nor steps that can be exported, so that "
            "its graph would give no text; allowed: a head with `frame_log_probs` or `parts`"
        )
    name = "model" if "log_probs" in outputs else "encoder"
    axes = {"x": {0: "B", 1: "T"}, "x_lens": {0: "B"}}
    content = _exported(name, main, example(SHAPES[1]), axes, outputs)
    session, difference = _Session(name, content), 0.0
    for frames in SHAPES:
        inputs, where = example(frames), f"{name}, {' and '.join(map(str, frames))} frames"
        wanted = [_array(each) for each in computed(inputs).values()]
        found = session.run(where, inputs)
        for i in range(0, len(outputs), 2):
            has, lengths = found[i + 1].tolist(), wanted[i + 1].tolist()
            if has != lengths:
                raise _differs(where, f"has {has} frames of output, the run {lengths}")
            for b, length in enumerate(lengths):
                pair = found[i][b, :length], wanted[i][b, :length]
                difference = max(difference, _difference(where, *pair))
    return Graph(name, content, tuple(axes), outputs, difference)


def _exported(
    name: str,
    module: nn.Module,
    example: Mapping[str, Tensor],
    axes: Mapping[str, Mapping[int, str]],
    outputs: Sequence[str],
) -> bytes:
    """Returns the graph of a module, with the dimensions in `axes` left open."""
    recurrent = any(isinstance(each, nn.RNNBase) for each in module.modules())
    export: Callable[..., bytes] = _traced if recurrent else _captured
    try:
        with _quiet():
            return export(module.eval(), example, axes, list(outputs))
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        # The exporter's own message is a page of advice in colours; the first error of the chain
        # is what went wrong.
        cause: BaseException = error
        while (before := cause.__cause__ or cause.__context__) is not None:
            cause = before
        line = (str(cause).strip().splitlines() or [type(cause).__name__])[0][:200]
        raise UserError(f"{name}: torch cannot export it ({line}); nothing is written") from None


def _traced(
    module: nn.Module,
    example: Mapping[str, Tensor],
    axes: Mapping[str, Mapping[int, str]],
    outputs: list[str],
) -> bytes:
    content = BytesIO()
    rows = next(iter(axes.values()))
    torch.onnx.export(
        module,
        tuple(example.values()),
        content,  # type: ignore[arg-type]
        dynamo=False,
        opset_version=OPSET,
        input_names=list(example),
        output_names=outputs,
        dynamic_axes={**axes, **{name: dict(rows) for name in outputs}},
    )
    return content.getvalue()


def _captured(
    module: nn.Module,
    example: Mapping[str, Tensor],
    axes: Mapping[str, Mapping[int, str]],
    outputs: list[str],
) -> bytes:
    program = torch.onnx.export(
        _Positional(module),
        tuple(example.values()),
        dynamo=True,
        opset_version=OPSET,
        input_names=list(example),
        output_names=outputs,
        dynamic_shapes=(tuple(dict(each) for each in axes.values()),),
        verbose=False,
    )
    assert program is not None
    return bytes(program.model_proto.SerializeToString(deterministic=True))


class _Positional(nn.Module):
    """A module whose inputs are one tuple, as the exporter wants the shapes of `*inputs`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> object:
        return self.module(*inputs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps warnings of the exporters from the terminal; what they warn of is compared."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


class _Session:
    """A graph as onnxruntime runs it, on the CPU."""

    def __init__(self, name: str, content: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4
        with _runtime_errors(name):
            self.session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )

    def run(self, where: str, inputs: Mapping[str, Tensor]) -> list[npt.NDArray[Any]]:
        """Returns the outputs for `inputs`; an input that the graph does not read is left out."""
        read = {each.name for each in self.session.get_inputs()}
        with _runtime_errors(where):
            return list(
                self.session.run(None, {k: _array(v) for k, v in inputs.items() if k in read})
            )


@contextmanager
def _runtime_errors(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The errors of onnxruntime have no base of their own.
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        line = " ".join(str(error).split())[:200]
        raise _differs(where, f"cannot be run ({line})") from None


def _difference(where: str, found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float:
    """Returns the largest difference. Raises `UserError` if it exceeds the tolerance."""
    if found.shape != wanted.shape:
        raise _differs(where, f"has the shape {found.shape}, the run {wanted.shape}")
    apart = np.abs(found.astype(np.float64) - wanted)
    if not (apart <= TOLERANCE * (1 + np.abs(wanted))).all():
        raise _differs(where, f"differs from the run by {apart.max():.2g}")
    return float(apart.max(initial=0.0))


def _differs(where: str, what: str) -> UserError:
    return UserError(
        f"graph {where}: {what}, allowed: {TOLERANCE:g} of 1 + the value; nothing is written"
    )


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    return tensor.detach().cpu().numpy()
