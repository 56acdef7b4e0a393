"""Plug-ins: a user's own mechanism, trained, stopped, resumed, decoded and trusted."""

import json
import pickle
import re
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tones import SMALL, TEXTS, StopsAfter, cell_of, same_weights, spoken

import asrbench
from asrbench.base.errors import UserError
from asrbench.base.reporting import Silent
from asrbench.experiment import plugins
from asrbench.experiment.kinds import ASRBENCH
from asrbench.experiment.registry import MODELS
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import Cell
from asrbench.experiment.spec_file import load_study
from asrbench.recogniser.loading import load_recogniser
from asrbench.stages.check import check
from asrbench.training.loop import train
from asrbench.training.setup import set_up
from asrbench.training.stopping import Interrupted

PAGE = Path(__file__).parent.parent / "docs" / "your_own_attention.md"
DECAY = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]  # type: ignore[index]
"""The plug-in of the page, which registers the attention `decay` and the model `ds2_decay`."""

STUDY = """
plugins: [my_attention.py]
variants:
  ds2:
  ds2_decay: {model: {name: ds2_decay, encoder: {attention: {heads: 2, dropout: 0.0}}}}
"""


@pytest.fixture(scope="module", autouse=True)
def _models_as_before() -> Iterator[None]:
    """Other modules list the names of the registry."""
    yield
    for name in [name for name, entry in MODELS.items() if entry.origin != ASRBENCH]:
        del MODELS[name]


@pytest.fixture(autouse=True)
def _trust_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def cells(tmp_path: Path, corpus: Path, plugin: str = DECAY, study: str = STUDY) -> dict[str, Cell]:
    (tmp_path / "my_attention.py").write_text(plugin, encoding="utf-8")
    spec = tmp_path / "mine.yaml"
    spec.write_text(SMALL.format(corpus=corpus) + study, encoding="utf-8")
    return {cell.variant: cell for cell in load_study(spec, ["train.epochs=2"]).cells}


def decayed(tmp_path: Path, corpus: Path) -> Run:
    setup = set_up(cells(tmp_path, corpus)["ds2_decay"], tmp_path / "results")
    train(setup, Silent())
    return setup.run


def test_the_plugin_of_the_page_has_at_most_forty_lines() -> None:
    assert len(DECAY.splitlines()) <= 40


def test_its_spec_is_typed_and_strict(tmp_path: Path, corpus: Path) -> None:
    found = cells(tmp_path, corpus)["ds2_decay"].model.model_dump()
    assert found["encoder"]["attention"] == {
        "kind": "decay",
        "heads": 2,
        "dropout": 0.0,
        "head_dim": 64,
        "slowest": 0.1,
    }
    with pytest.raises(UserError, match=r"attention\.slowes: found an unknown key.*'slowest'"):
        cells(tmp_path, corpus, study=STUDY.replace("heads: 2", "slowes: 2"))
    with pytest.raises(
        UserError, match=r"attention\.slowest: found \"x\", allowed: a valid number"
    ):
        cells(tmp_path, corpus, study=STUDY.replace("heads: 2", "slowest: x"))


def test_a_run_counts_only_the_plugins_that_its_model_uses(tmp_path: Path, corpus: Path) -> None:
    with_plugin = cells(tmp_path, corpus)
    without = cells(tmp_path, corpus, study="")
    assert with_plugin["ds2"] == without["ds2"]
    (plugin,) = with_plugin["ds2_decay"].plugins
    assert plugin.path == str(tmp_path / "my_attention.py")


def test_content_counts_towards_identity_and_the_place_does_not(
    tmp_path: Path, corpus: Path
) -> None:
    (tmp_path / "there").mkdir()
    here = cells(tmp_path, corpus)["ds2_decay"]
    there = cells(tmp_path / "there", corpus)["ds2_decay"]
    assert here.plugins != there.plugins
    assert here.identity("f") == there.identity("f")
    other = DECAY.replace("ds2_decay", "ds2_decay2").replace('"decay"', '"decay2"')
    study = STUDY.replace("ds2_decay", "ds2_decay2")
    changed = cells(tmp_path / "there", corpus, other, study)["ds2_decay2"]
    again = cells(tmp_path / "there", corpus, other + "# A remark.\n", study)["ds2_decay2"]
    assert changed.identity("f") != again.identity("f")


def test_a_cell_survives_pickling(tmp_path: Path, corpus: Path) -> None:
    """`asrbench plan` and workers send cells to other processes."""
    cell = cells(tmp_path, corpus)["ds2_decay"]
    assert pickle.loads(pickle.dumps(cell)) == cell


def test_trained_stopped_resumed_and_transcribed_with(tmp_path: Path, corpus: Path) -> None:
    whole = decayed(tmp_path, corpus)
    setup = set_up(cells(tmp_path, corpus)["ds2_decay"], tmp_path / "halves")
    with pytest.raises(Interrupted):
        train(setup, StopsAfter(1))
    train(setup, Silent())
    assert same_weights(whole, setup.run)
    (tmp_path / "my_attention.py").unlink()
    text = asrbench.load(whole.folder).transcribe(spoken(TEXTS[0]), 16_000)
    assert isinstance(text, str)


def test_a_run_folder_from_elsewhere_asks_for_trust(tmp_path: Path, corpus: Path) -> None:
    run = decayed(tmp_path, corpus)
    assert load_recogniser(run).cell.plugins
    copied = Run(Path(shutil.copytree(run.folder, tmp_path / "elsewhere")))
    with pytest.raises(UserError, match=r"found plug-ins \(my_attention\.py\).*--trust-plugins"):
        load_recogniser(copied)
    assert load_recogniser(copied, trust_plugins=True).model.parameter_count > 0
    with pytest.raises(UserError, match=r"--trust-plugins"):
        asrbench.load(copied.folder)
    trusted = [json.loads(line) for line in plugins.trust_path().read_text().splitlines()]
    assert {row["folder"] for row in trusted} == {str(run.plugins_path.resolve())}


def test_a_copy_that_was_changed_is_refused(tmp_path: Path, corpus: Path) -> None:
    run = decayed(tmp_path, corpus)
    copy = run.plugins_path / "my_attention.py"
    copy.write_text(DECAY + "# Changed.\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"found different content \(digest \w{16}\) than in the"):
        load_recogniser(run)


def test_reading_a_run_folder_runs_no_plugin(tmp_path: Path, corpus: Path) -> None:
    """`compare` reads run folders from anywhere."""
    run = decayed(tmp_path, corpus)
    (run.plugins_path / "my_attention.py").write_text("raise SystemExit('it ran')")
    assert Run(run.folder).cell.plain()["model"]["encoder"]["attention"]["kind"] == "decay"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os\n\nx = (\n", r"my_attention\.py, line 3: SyntaxError: '\(' was never closed"),
        ("def f():\n    return nothing\n\nf()\n", r"my_attention\.py, line 2: NameError: name"),
        ("import sys\n\nsys.exit(3)\n", r"my_attention\.py, line 3: SystemExit: 3"),
        (
            DECAY.replace('kind: Literal["decay"] = "decay"', 'kind = "decay"'),
            r"my_attention\.py, line 12: PydanticUserError: Field 'kind' .* https",
        ),
        ("import nowhere_to_be_found\n", r"my_attention\.py, line 1: ModuleNotFoundError"),
        (
            DECAY.replace('"decay"] = "decay"', '"self"] = "self"'),
            r"attention DecayAttention: the kind 'self' is registered by asrbench already",
        ),
        (
            DECAY.replace('    "ds2_decay",', '    "ds2",').replace('"decay"', '"decay3"'),
            r"model 'ds2': is registered by asrbench already; choose another name",
        ),
        (
            "import asrbench\n\nasrbench.register_attention(int, int)\n",
            r"attention int: allowed: a subclass of AttentionSpec",
        ),
    ],
    ids=["syntax", "name", "exit", "field", "import", "kind taken", "model taken", "no spec"],
)
def test_a_broken_plugin_is_one_line(code: str, message: str, tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        cells(tmp_path, corpus, code)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("named", ["[{path: x.py, digest: ab}]", "[3]"])
def test_only_paths_name_plugins(named: str, tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(UserError, match=r"plugins: found .*allowed: paths of Python files"):
        cells(tmp_path, corpus, study=f"plugins: {named}")


@pytest.mark.parametrize("keys", ["name=[1]", "loss_terms=[{kind: [1]}]"])
def test_a_name_or_a_kind_that_is_no_text_is_one_line(
    keys: str, tmp_path: Path, corpus: Path
) -> None:
    with pytest.raises(UserError, match=r"--set model\."):
        cell_of(tmp_path, corpus, f"model.{keys}")


def test_a_checkpoint_of_another_version_is_one_line(tmp_path: Path, corpus: Path) -> None:
    run = decayed(tmp_path, corpus)
    path = run.weights_path("best")
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["asrbench"])
    metadata["cell"]["model"] = {"name": "ds2", "front_end": {"kind": "ds2"}}
    del metadata["digest"]  # files of earlier versions have none
    save_file(load_file(path), path, {"asrbench": json.dumps(metadata)})
    with pytest.raises(UserError, match="found a checkpoint of another version of asrbench"):
        load_recogniser(run)


def test_a_missing_plugin_and_two_of_one_name(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(UserError, match=r"none\.py: found no such plug-in"):
        cells(tmp_path, corpus, study="plugins: [none.py]")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "my_attention.py").write_text(DECAY)
    with pytest.raises(UserError, match=r"plugins: found .*allowed: each file name once"):
        cells(tmp_path, corpus, study="plugins: [my_attention.py, sub/my_attention.py]")


HEAD_AND_TERM = '''
from typing import Literal

import asrbench
import torch.nn.functional as F
from torch import nn

from asrbench.experiment.spec_model import EncoderSpec, HeadSpec, LossTermSpec
from asrbench.models.encoders.encoder import Encoder
from asrbench.models.heads.ctc import Ctc
from asrbench.models.layers.masking import valid_frames
from asrbench.models.loss_term import LossTerm


class FoldSpec(EncoderSpec):
    kind: Literal["fold"] = "fold"
    width: int = 48


class Fold(Encoder):
    """Four feature frames become one; two linear maps."""

    def __init__(self, spec, bins):
        super().__init__()
        self.width, self.stride, self.first_frame = spec.width, 4, 1.5
        first = nn.Linear(4 * bins, spec.width)
        self.blocks = nn.ModuleList([first, nn.Linear(spec.width, spec.width)])

    def lengths(self, lengths_B):
        return (lengths_B + 3) // 4

    def forward(self, x_BTF, lengths_B):
        x_BTF = x_BTF * valid_frames(lengths_B, x_BTF.shape[1])[..., None]
        x_BTF = F.pad(x_BTF, (0, 0, 0, -x_BTF.shape[1] % 4))
        x_BTD = x_BTF.unflatten(1, (-1, 4)).flatten(2)
        for block in self.blocks:
            x_BTD = F.relu(block(x_BTD))
        return x_BTD, self.lengths(lengths_B)


class SharpSpec(HeadSpec):
    kind: Literal["sharp"] = "sharp"


class Sharp(Ctc):
    def log_probs(self, encoded):
        return (2 * super().log_probs(encoded)).log_softmax(-1)


class EnergySpec(LossTermSpec):
    kind: Literal["energy"] = "energy"


class Energy(LossTerm):
    def __init__(self, spec, width, symbols):
        super().__init__()
        self.scale = nn.Linear(width, 1)

    def forward(self, encoded, targets, head):
        return (self.scale(encoded.x_BTD)[..., 0].square() * encoded.mask_BT).sum()


asrbench.register_encoder(FoldSpec, Fold)
asrbench.register_head(SharpSpec, Sharp)
asrbench.register_loss_term(EnergySpec, Energy)
asrbench.register_model("fold", encoder={"kind": "fold"}, head={"kind": "sharp"})
'''


def test_an_encoder_a_head_and_a_loss_term_train(tmp_path: Path, corpus: Path) -> None:
    spec = SMALL.format(corpus=corpus)
    spec = re.sub(
        r"model:\n(  .*\n)+",
        "model: {name: fold, loss_terms: [{kind: energy, weight: 0.5}]}\n",
        spec,
    )
    (tmp_path / "my_fold.py").write_text(HEAD_AND_TERM)
    (tmp_path / "fold.yaml").write_text(spec + "plugins: [my_fold.py]\n")
    (cell,) = load_study(tmp_path / "fold.yaml", ["train.epochs=2"]).cells
    assert cell.variant == "fold"
    setup = set_up(cell, tmp_path / "results")
    train(setup, Silent())
    row: dict[str, Any] = setup.run.history()[-1]
    assert row["energy_loss"] > 0
    assert list(row["layer_gradient_norms"]) == [
        "blocks.0",
        "blocks.1",
        "head",
        "loss_terms.energy",
    ]
    recogniser = load_recogniser(setup.run)
    terms = sum(p.numel() for p in recogniser.model.loss_terms.parameters())
    everything = sum(p.numel() for p in recogniser.model.parameters())
    assert recogniser.model.parameter_count == everything - terms
    done = asrbench.load(setup.run.folder).transcribe(np.zeros(8000, dtype=np.float32), 8000)
    assert isinstance(done, str)


# asrbench check


def findings_of(tmp_path: Path, code: str) -> dict[str, bool]:
    path = tmp_path / "checked.py"
    path.write_text(code, encoding="utf-8")
    plugin = plugins.read(path)
    plugins.load(plugin)
    return {finding.check: finding.held for finding in check(plugin, [])}


CHECKED = DECAY.replace('"decay"', '"decay_checked"').replace("ds2_decay", "ds2_decay_checked")


def test_check_finds_that_the_plugin_of_the_page_holds(tmp_path: Path) -> None:
    found = findings_of(tmp_path, CHECKED)
    assert found == dict.fromkeys(
        ["padding", "gradients", "bf16", "exact resume", "overfits two utterances"], True
    )


def test_check_finds_no_fault_in_frozen_modules(tmp_path: Path) -> None:
    """Only what is trained has to have a gradient, and a resume keeps what is frozen."""
    path = tmp_path / "frozen.py"
    path.write_text(CHECKED.replace("decay_checked", "decay_frozen"), encoding="utf-8")
    plugin = plugins.read(path)
    plugins.load(plugin)
    found = islice(check(plugin, ["train.freeze=[encoder.front_end]"]), 4)
    assert {each.check: each.held for each in found} == dict.fromkeys(
        ["padding", "gradients", "bf16", "exact resume"], True
    )


def test_a_model_of_a_plugin_starts_from_the_baseline_and_from_itself(
    tmp_path: Path, corpus: Path
) -> None:
    """Its own layers are drawn; no plug-in of the other run has to be trusted."""
    base = set_up(cells(tmp_path, corpus)["ds2"], tmp_path / "results")
    train(base, Silent())
    other = decayed(tmp_path, corpus)
    for run, alike in ((base.run, False), (other, True)):
        study = f"{STUDY}init_from: {run}\n"
        cell = cells(tmp_path, corpus, study=study)["ds2_decay"]
        setup = set_up(cell, tmp_path / "results")
        train(setup, Silent())
        assert setup.run.folder != other.folder
        assert (setup.run.env["init_from"]["left"] == {}) == alike


def test_check_sets_sizes_and_neither_what_is_checked_nor_where(tmp_path: Path) -> None:
    path = tmp_path / "sized.py"
    path.write_text(CHECKED.replace("decay_checked", "decay_sized"), encoding="utf-8")
    plugin = plugins.read(path)
    plugins.load(plugin)
    for text, line in {
        "model.name=x": "model.name: found 'x', allowed: 'ds2_decay_sized'",
        "variant=/": "variant: found '/', allowed: 'checked'",
        "experiment=..": "experiment: found '..', allowed: 'check'",
        "plugins=[]": "plugins: found [], allowed: [{",
        "model.encoder.attention.kind=self": "model.encoder.attention.kind: found 'self', allowed",
    }.items():
        with pytest.raises(UserError, match=f"^--set {re.escape(line)}"):
            next(check(plugin, [text]))


def test_check_finds_padding_that_leaks_and_a_parameter_without_a_gradient(
    tmp_path: Path,
) -> None:
    leaking = CHECKED.replace("decay_checked", "decay_leaking").replace(
        "t = torch.arange(q_BHTK.shape[2], device=q_BHTK.device)",
        "t = torch.arange(q_BHTK.shape[2], device=q_BHTK.device) * q_BHTK.shape[2] / 100",
    )
    found = findings_of(
        tmp_path,
        leaking.replace(
            "super().__init__(spec, width)",
            "super().__init__(spec, width)\n        self.idle = nn.Parameter(torch.zeros(2))",
        ),
    )
    assert not found["padding"]
    assert not found["gradients"]


def test_a_plugin_that_registers_nothing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "empty.py"
    path.write_text("import asrbench\n")
    with pytest.raises(UserError, match=r"empty\.py: registers nothing; call asrbench\."):
        list(check(plugins.read(path), []))
