"""`asrbench export`: graphs that compute what the run does, or nothing."""

import json
import re
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from doors import error, everything, run
from small_models import BINS, SYMBOLS, build, every_model, features
from tones import TEXTS, cell_of, make_corpus, sets_for, spoken, trained

from asrbench.base.errors import UserError
from asrbench.experiment.registry import MODELS
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import DecodeSpec
from asrbench.experiment.spec_model import ModelSpec
from asrbench.models.features import normalised
from asrbench.models.graph_part import GraphPart
from asrbench.models.heads.ctc import Ctc
from asrbench.models.heads.ctc_attention import CtcAttention
from asrbench.models.heads.decoder import Decoder
from asrbench.models.heads.decoder_parts import decoder_parts
from asrbench.models.heads.head import Decoding, Encoded, Head
from asrbench.models.layers.exporting import exporting
from asrbench.models.layers.masking import valid_frames
from asrbench.models.model import Model
from asrbench.models.searches.transducer import SYMBOLS_A_FRAME
from asrbench.recogniser import graphs
from asrbench.recogniser.graphs import Graph, graphs_of
from asrbench.recogniser.loader import make_batch
from asrbench.recogniser.loading import load_recogniser
from asrbench.stages import export as stage
from asrbench.stages.export import export
from asrbench.stages.transcribe import Settings, Source, transcribe
from asrbench.text.tokenizer import BLANK

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def cases() -> dict[str, ModelSpec]:
    """Every kind of graphs: an export of a decoder takes seconds, so each is there once.

    Every encoder is that of a named model; its other settings change sizes. Both heads with a
    decoder export the same graphs of it, whatever their `selection` is.
    """
    found: dict[str, ModelSpec] = {}
    for name, spec in every_model().items():
        decoder = getattr(spec.head, "decoder", None)
        seen = [(each.encoder, getattr(each.head, "decoder", None)) for each in found.values()]
        again = decoder is not None and (spec.encoder, decoder) in seen
        if not name.startswith("encoder ") and (name in MODELS or not again):
            found[name] = spec
    return found


CASES = cases()
ATTENTION = [name for name, spec in CASES.items() if "attention" in spec.head.kind]
PAGE = Path(__file__).parents[1] / "docs/export.md"
HEARD = ["abca", "bc ab", "cab"]
NUMPY = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class Bare:
    """What `graphs_of` reads of a recogniser."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.features = type("Features", (), {"bins": BINS})


def session(content: bytes) -> Any:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@cache
def of_case(case: str) -> tuple[Model, list[Graph]]:
    model = build(CASES[case], seed=4)
    return model, graphs_of(Bare(model))  # type: ignore[arg-type]


@torch.no_grad()
def encoded_by(model: Model, x_BTF: torch.Tensor, frames_B: torch.Tensor) -> Encoded:
    mask_BT = valid_frames(frames_B, x_BTF.shape[1])
    return model.encode(normalised(x_BTF, mask_BT), frames_B)


@pytest.mark.parametrize("case", CASES)
def test_every_kind_is_exported(case: str) -> None:
    """What is returned was compared; here once more, by hand, at a shape of its own."""
    model, (first, *parts) = of_case(case)
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


class Baked(Ctc):
    """A head whose result depends on the number of utterances, which a trace fixes."""

    def frame_log_probs(self, encoded: Encoded) -> torch.Tensor:
        return self.log_probs(encoded) * (1 + len(encoded.x_BTD) / 10)


def test_a_graph_that_differs_is_refused() -> None:
    model = build(CASES["ds2"])
    head = Baked(CASES["ds2"].head, model.encoder.width, SYMBOLS)
    head.load_state_dict(model.head.state_dict())
    model.head = head.eval()
    with pytest.raises(UserError, match=r"graph model, 97 frames: differs from the run by .* noth"):
        graphs_of(Bare(model))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", [name for name in CASES if "transducer" in name])
def test_a_transducer_is_decoded_with_its_graphs(case: str) -> None:
    """Greedy search, written with the graphs alone."""
    model, found_graphs = of_case(case)
    encoder, decoder, joiner = (session(graph.content) for graph in found_graphs)
    x_BTF, frames_B = features(1, 80, BINS), torch.tensor([80])
    states = {
        each.name: np.zeros([1, *each.shape[1:]], dtype=NUMPY[each.type])
        for each in decoder.get_inputs()
        if each.name != "symbols"
    }
    (x_1TD, _) = encoder.run(None, {"x": x_BTF.numpy(), "x_lens": frames_B.numpy()})

    def read(symbol: int, before: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        written, *after = decoder.run(None, {"symbols": np.array([symbol]), **before})
        return written, dict(zip(before, after, strict=True))

    found: list[int] = []
    written, states = read(BLANK, states)
    for x_D in x_1TD[0]:
        for _ in range(SYMBOLS_A_FRAME):
            inputs = {"encoder_out": x_D[None], "decoder_out": written}
            symbol = int(joiner.run(None, inputs)[0].argmax())
            if symbol == BLANK:
                break
            found.append(symbol)
            written, states = read(symbol, states)
    encoded = encoded_by(model, x_BTF, frames_B)
    (wanted,) = model.head.searches["greedy"](encoded, Decoding(DecodeSpec()))
    assert found == wanted
    assert found


def code_of_the_page(folder: Path) -> dict[str, Any]:
    """Runs the Python of docs/export.md where `folder` is the current one."""
    code = re.search(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1].replace("exported/", f"{folder.as_posix()}/"), names)
    return names


@pytest.mark.parametrize("case", ATTENTION)
def test_an_attention_decoder_is_decoded_as_the_page_says(case: str, tmp_path: Path) -> None:
    """With the graphs alone, for a batch of unequal lengths. A head with CTC is named `model`."""
    model, (first, *parts) = of_case(case)
    (tmp_path / "encoder.onnx").write_bytes(first.content)
    for part in parts:
        (tmp_path / f"{part.name}.onnx").write_bytes(part.content)
    x_BTF, frames_B = features(3, 90, BINS), torch.tensor([33, 90, 58])
    found = code_of_the_page(tmp_path)["greedy"](x_BTF.numpy(), frames_B.numpy())
    encoded = encoded_by(model, x_BTF, frames_B)
    assert found == model.head.searches["attention"](encoded, Decoding(DecodeSpec()))
    assert all(found)


@pytest.mark.parametrize("case", ATTENTION)
def test_the_steps_of_a_decoder_are_its_training(case: str) -> None:
    """Two hypotheses of each utterance, against all symbols at once (`Decoder.forward`)."""
    model, (_, *parts) = of_case(case)
    start, decoder = (session(part.content) for part in parts)
    generator = torch.Generator().manual_seed(2)
    x_BTD = torch.randn(3, 19, model.encoder.width, generator=generator)
    lengths_B = torch.tensor([19, 1, 8])
    symbols_NU = torch.randint(1, SYMBOLS, (6, 11), generator=generator)
    symbols_NU[:, 0] = BLANK
    inputs = {"encoder_out": x_BTD.numpy(), "encoder_out_lens": lengths_B.numpy()}
    names = [each.name for each in start.get_outputs()]
    state = {k: v.repeat(2, 0) for k, v in zip(names, start.run(None, inputs), strict=True)}
    found_UNV = []
    for symbols_N in symbols_NU.T:
        log_probs_NV, *after = decoder.run(None, {"symbols": symbols_N.numpy(), **state})
        found_UNV.append(torch.from_numpy(log_probs_NV))
        own = [name for name in names if name.startswith("state_")]
        state |= dict(zip(own, after, strict=True))
    assert isinstance(model.head.decoder, Decoder)
    with torch.inference_mode():
        memory = (each.repeat_interleave(2, 0) for each in (x_BTD, valid_frames(lengths_B, 19)))
        wanted_NUV = model.head.decoder(*memory, symbols_NU)
    torch.testing.assert_close(torch.stack(found_UNV, 1), wanted_NUV, rtol=1e-4, atol=1e-4)


class Fixed(torch.nn.Module):
    """A step whose graph takes every symbol for that of the example, the fifth."""

    def __init__(self, step: torch.nn.Module) -> None:
        super().__init__()
        self.step = step

    def forward(self, *inputs: torch.Tensor) -> Any:
        log_probs_NV, *after = self.step(*inputs)
        return log_probs_NV + (5 if exporting() else inputs[-1].shape[2]), *after


def test_a_step_that_differs_after_another_number_of_symbols_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = build(CASES["ds2_crossattn"])

    def fixed(self: CtcAttention) -> dict[str, GraphPart]:
        part = decoder_parts(self.decoder)["decoder"]
        return {"decoder": part._replace(module=Fixed(part.module))}

    monkeypatch.setattr(CtcAttention, "parts", fixed)
    line = r"^graph decoder, N = 1, T = 1, U = 0: differs from the run by 5, .* nothing is written$"
    with pytest.raises(UserError, match=line):
        graphs_of(Bare(model))  # type: ignore[arg-type]


class NoSteps(Head):
    """A head of a plug-in that has only its own search."""

    def frame_log_probs(self, encoded: Encoded) -> None:
        return None


def test_a_head_without_text_is_refused() -> None:
    model = build(CASES["ds2"])
    model.head = NoSteps()
    with pytest.raises(UserError, match="neither log posteriors of frames nor steps"):
        graphs_of(Bare(model))  # type: ignore[arg-type]


# A run


@pytest.fixture(scope="module")
def ctc(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that has learned its utterances by heart from Kaldi's features."""
    folder = tmp_path_factory.mktemp("ctc")
    corpus = make_corpus(folder / "corpus", HEARD, HEARD)
    sets = ["features={kind: fbank, bands: 80}", "train.epochs=60", "train.batch_seconds=10"]
    return trained(cell_of(folder, corpus, *sets), folder / "results")


@pytest.fixture(scope="module")
def exported(ctc: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "deep/out"
    code, text, err = run("export", ctc.folder, "--to", "onnx", "--out", out)
    assert code == 0, err
    *files, last = text.splitlines()
    assert files == [str(out / name) for name in ("export.json", "model.onnx", "tokens.txt")]
    assert last.startswith("compared with the run: the largest difference is ")
    return out


def test_sherpa_onnx_reads_the_same_text(ctc: Run, exported: Path, tmp_path: Path) -> None:
    """With its own features at the settings of Kaldi, its own search and reading of tokens."""
    native = pytest.importorskip("sherpa_onnx.lib._sherpa_onnx")
    features = {"low_freq": 20.0, "high_freq": 0.0, "normalize_samples": False, "snip_edges": True}
    model = native.OfflineZipformerCtcModelConfig(model=str(exported / "model.onnx"))
    recogniser = native.OfflineRecognizer(
        native.OfflineRecognizerConfig(
            feat_config=native.FeatureExtractorConfig(feature_dim=80, **features),
            model_config=native.OfflineModelConfig(
                zipformer_ctc=model, tokens=str(exported / "tokens.txt")
            ),
        )
    )
    found = []
    for text in [*HEARD, *TEXTS]:
        stream = recogniser.create_stream()
        stream.accept_waveform(16_000, spoken(text) / 32_768)
        recogniser.decode_stream(stream)
        found.append(stream.result.text)
        soundfile.write(tmp_path / f"{len(found)}.wav", spoken(text), 16_000)
    paths = [tmp_path / f"{n + 1}.wav" for n in range(len(found))]
    sources = [Source(str(path), path, PurePath(path.name)) for path in paths]
    ours = list(transcribe(ctc, sources, "greedy", "cpu", Settings()))
    assert found == [each.text for each in ours]  # type: ignore[union-attr]
    assert found[: len(HEARD)] == HEARD


def test_what_is_written_describes_itself(ctc: Run, exported: Path) -> None:
    about = json.loads((exported / "export.json").read_text())
    assert about["run"] == ctc.folder.name
    assert (about["sample_rate"], about["feature_dim"], about["subsampling_factor"]) == (
        16000,
        80,
        2,
    )
    assert about["features"]["kind"] == "fbank"
    assert about["graphs"]["model"]["inputs"] == ["x", "x_lens"]
    assert about["graphs"]["model"]["outputs"] == ["log_probs", "log_probs_lens"]
    assert 0 <= about["graphs"]["model"]["largest_difference"] < 1e-4
    inside = {p.key: p.value for p in onnx.load(exported / "model.onnx").metadata_props}
    assert inside["run"] == ctc.folder.name
    assert json.loads(inside["tokenizer"]) == about["tokenizer"]
    assert (exported / "tokens.txt").read_text() == "<blk> 0\n 1\na 2\nb 3\nc 4\n"


def test_a_run_without_ctc_reads_with_its_graphs_what_it_transcribes(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", TEXTS[:2], TEXTS[:2])
    sets = ["train.epochs=80", "train.batch_seconds=10", *sets_for("las")]
    las = trained(cell_of(tmp_path, corpus, *sets), tmp_path / "results")
    code, text, err = run("export", las.folder, "--to", "onnx", "--out", tmp_path / "out")
    assert code == 0, err
    names = ("decoder.onnx", "decoder_start.onnx", "encoder.onnx", "export.json", "tokens.txt")
    assert text.splitlines()[:-1] == [str(tmp_path / "out" / name) for name in names]
    about = json.loads((tmp_path / "out/export.json").read_text())
    assert list(about["graphs"]) == ["encoder", "decoder_start", "decoder"]
    assert {each.key for each in onnx.load(tmp_path / "out/decoder.onnx").metadata_props} == (
        about.keys() - {"tolerance", "compared_at_frames", "torch", "graphs"}
    )

    recogniser = load_recogniser(las, "cpu")
    waves = [spoken(text) for text in TEXTS[:3]]
    batch = make_batch(TEXTS[:3], TEXTS[:3], waves, recogniser.tokenizer)
    # Features that are normalised already: the graph does it again, which changes next to nothing.
    x_BTF, frames_B = recogniser.features(batch.waves_BS, batch.samples_B)
    found = code_of_the_page(tmp_path / "out")["greedy"](x_BTF.numpy(), frames_B.numpy())
    (wanted,) = recogniser.transcribe([batch], "attention")
    assert [recogniser.tokenizer.decode(each) for each in found] == wanted.hypotheses
    assert wanted.hypotheses[:2] == TEXTS[:2]


def test_the_same_run_gives_the_same_bytes(ctc: Run, exported: Path, tmp_path: Path) -> None:
    export(ctc, tmp_path / "again")
    assert everything(tmp_path / "again") == everything(exported)


def test_nothing_is_left_of_what_is_refused(
    ctc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "TOLERANCE", 0.0)
    line = error("export", ctc.folder, "--out", tmp_path / "deep/out")
    assert line.startswith(f"{ctc}: graph model, ")
    assert line.endswith("allowed: 0 of 1 + the value; nothing is written")
    assert list(tmp_path.iterdir()) == []


def test_only_an_export_is_replaced(ctc: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    arguments = ("export", ctc.folder, "--out", tmp_path / "mine")
    assert error(*arguments).endswith("exists already; choose another --out, or --force")
    assert "--force replaces an export only" in error(*arguments, "--force")
    (tmp_path / "mine/export.json").write_text("{}")
    assert run(*arguments, "--force")[0] == 0
    assert not (tmp_path / "mine/notes.txt").exists()


def test_a_package_that_is_missing_is_named(
    ctc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "NEEDED", ("onnx", "no_such_package"))
    assert error("export", ctc.folder, "--out", tmp_path / "out") == (
        "export: needs the package no_such_package; pip install 'asrbench[export]' installs it"
    )
