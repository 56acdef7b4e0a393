"""Exports a trained run as ONNX graphs, which it compares with the run before it writes them.

DIR/
    model.onnx     features to log posteriors (a head that classifies frames), or
    encoder.onnx   features to the encoder's output (every other head)
    NAME.onnx      the steps of a search that the head has beside (`Head.parts`)
    tokens.txt     a symbol and its index on each line, as Kaldi and sherpa-onnx read it
    export.json    the run, its features, the graphs, and how far they were from the run
"""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from asrbench import __version__
from asrbench.base.errors import UserError
from asrbench.base.files import write_json, write_text
from asrbench.base.folders import atomic_folder
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.run_folder import Run
from asrbench.recogniser.graphs import SHAPES, TOLERANCE, Graph, graphs_of
from asrbench.recogniser.loading import load_recogniser
from asrbench.recogniser.recogniser import Recogniser
from asrbench.text.tokenizer import BLANK, Tokenizer

NEEDED = ("onnx", "onnxruntime", "onnxscript")

RECORD = "export.json"

BLANK_NAME = "<blk>"
"""The name of the blank in `tokens.txt`."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    files: tuple[Path, ...]
    difference: float
    """The largest difference between a graph and the run."""


def export(
    run: Run,
    out: Path,
    which: str | None = None,
    *,
    force: bool = False,
    trust_plugins: bool = False,
) -> Exported:
    """Writes the graphs of a run to the folder `out`; with `force` it may exist already.

    `which` is the checkpoint; without it, the one that the spec chooses. Raises `UserError`, and
    writes nothing, for graphs that do not compute what the run does.
    """
    check_packages()
    _check_place(out, force)
    recogniser = load_recogniser(run, "cpu", which, trust_plugins=trust_plugins)
    try:
        graphs = graphs_of(recogniser)
    except UserError as error:
        raise UserError(f"{run}: {error}") from None
    about = _about(run, recogniser)
    with atomic_folder(out, replace=force) as folder:
        for graph in graphs:
            content = _with_metadata(graph.content, about)
            (folder / f"{graph.name}.onnx").write_bytes(content)
        write_text(folder / "tokens.txt", tokens_of(recogniser.tokenizer))
        write_json(folder / RECORD, about | _compared(graphs))
    return Exported(tuple(sorted(out.iterdir())), max(graph.difference for graph in graphs))


def check_packages() -> None:
    """Raises `UserError` if a package that exporting needs is not installed."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise UserError(
            f"export: needs the package {missing[0]}; pip install 'asrbench[export]' installs it"
        )


def _check_place(out: Path, force: bool) -> None:
    """Raises `UserError` unless `out` can be made, or replaced if `force` asks for it."""
    if out.name in ("", "..") or (out.is_symlink() and not out.exists()):
        found = "a link that leads nowhere" if out.is_symlink() else f"'{out}'"
        raise UserError(f"--out: found {found}, allowed: the name of a new folder")
    if out.exists() and not force:
        raise UserError(f"{out}: exists already; choose another --out, or --force")
    if out.exists() and not (out / RECORD).is_file():
        raise UserError(f"{out}: --force replaces an export only, and it has no {RECORD}")


def tokens_of(tokenizer: Tokenizer) -> str:
    """Returns the lines of `tokens.txt`. A line whose symbol is a space has nothing before it."""
    symbols = [BLANK_NAME, *("" if s == " " else s for s in tokenizer.symbols)]
    return "".join(f"{symbol} {index}\n" for index, symbol in enumerate(symbols))


def _about(run: Run, recogniser: Recogniser) -> dict[str, Any]:
    """Returns what a program needs to know beside the graphs."""
    features, encoder, tokenizer = (
        recogniser.features,
        recogniser.model.encoder,
        recogniser.tokenizer,
    )
    return {
        "asrbench": __version__,
        "run": run.folder.name,
        "variant": run.cell.variant,
        "checkpoint_epoch": recogniser.epoch,
        "sample_rate": SAMPLE_RATE_HZ,
        "features": features.spec.model_dump(mode="json"),
        "feature_dim": features.bins,
        "window_samples": features.window,
        "hop_samples": features.hop,
        "normalised": "in the graph",
        "subsampling_factor": encoder.stride,
        "first_frame": encoder.first_frame,
        "vocab_size": len(tokenizer),
        "blank_id": BLANK,
        "tokenizer": tokenizer.plain(),
    }


def _compared(graphs: list[Graph]) -> dict[str, Any]:
    return {
        "tolerance": TOLERANCE,
        "compared_at_frames": SHAPES,
        "torch": torch.__version__,
        "graphs": {
            graph.name: {
                "inputs": graph.inputs,
                "outputs": graph.outputs,
                "largest_difference": graph.difference,
            }
            for graph in graphs
        },
    }


def _with_metadata(content: bytes, about: dict[str, Any]) -> bytes:
    """Returns the graph with `about` as metadata, strings as they are and all else as JSON."""
    import onnx

    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    del model.metadata_props[:]
    for key, value in about.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        model.metadata_props.add(key=key, value=text)
    return bytes(model.SerializeToString(deterministic=True))
