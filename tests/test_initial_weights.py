"""Starting from another run: what is taken, what is left and told, and what a run is known by."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tones import TEXTS, Heard, StopsAfter, cell_of, make_corpus, same_weights, trained
from torch import Tensor
from typer.testing import CliRunner

from asrbench.base.errors import UserError
from asrbench.cli.app import app
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import Cell
from asrbench.recogniser import weights_file
from asrbench.recogniser.recogniser import Recogniser
from asrbench.stages.verify import Contents, faults_of
from asrbench.training import initial_weights
from asrbench.training.loop import train
from asrbench.training.setup import TrainingSetup, set_up
from asrbench.training.stopping import Interrupted

SHORT = "train.epochs=1"
TRANSDUCER = (
    "model.name=rnnt",
    "model.head={prediction: {width: 32}, joiner: 64}",
    "model.encoder.recurrence={cell: lstm, layers: 1, width: 32, dropout: 0.0}",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Run:
    """A run of two epochs to start from; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("base")
    return trained(cell_of(folder, corpus, "train.epochs=2"), folder / "results")


def cell_from(run: object, tmp_path: Path, corpus: Path, *sets: str) -> Cell:
    return cell_of(tmp_path, corpus, SHORT, f"init_from={run}", "seeds=[7]", *sets)


def recogniser_of(setup: TrainingSetup) -> Recogniser:
    fingerprint = setup.corpus.fingerprint
    return Recogniser(setup.cell, setup.tokenizer, fingerprint, setup.device)


def taken(setup: TrainingSetup) -> tuple[initial_weights.Taken, dict[str, Tensor], set[str]]:
    """What a fresh recogniser takes, its state then, and the names whose tensors were drawn."""
    recogniser = recogniser_of(setup)
    before = {name: each.clone() for name, each in recogniser.model.state_dict().items()}
    found = initial_weights.take(recogniser)
    assert found is not None
    after = dict(recogniser.model.state_dict())
    drawn = {name for name in after if torch.equal(before[name], after[name])}
    return found, after, drawn


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor], prefix: str = "") -> bool:
    names = [name for name in one if name.startswith(prefix)]
    return bool(names) and all(torch.equal(one[name], other[name]) for name in names)


def copied(run: Run, folder: Path) -> Run:
    return Run(Path(shutil.copytree(run.folder, folder)))


def changed(run: Run, name: str = "encoder.norm.bias") -> None:
    """Changes one number in the weights, and writes them as `train` does."""
    path = run.weights_path("best")
    metadata, weights = weights_file.read(path)
    weights[name][0] += 1
    weights_file.write(path, weights, metadata)


# What is taken


@pytest.mark.parametrize("which", ["best", "last"])
def test_everything_is_taken_bit_for_bit(
    which: str, base: Run, tmp_path: Path, corpus: Path
) -> None:
    init = f"{{run: {base}, checkpoint: {which}}}"
    found, state, _ = taken(set_up(cell_from(init, tmp_path, corpus), tmp_path / "results"))
    weights = load_file(base.weights_path(which))
    assert state.keys() == weights.keys()
    assert equal(state, weights)
    assert (found.taken.tensors, found.drawn.tensors, found.left) == (len(state), 0, {})
    assert found.taken.parameters == base.env["parameters"]


def test_the_weights_that_the_other_run_tests_are_the_default(
    base: Run, tmp_path: Path, corpus: Path
) -> None:
    found, _, _ = taken(set_up(cell_from(base, tmp_path, corpus), tmp_path / "results"))
    assert found.weights == str(base.weights_path("best"))


def test_the_encoder_alone_is_taken_under_another_head(
    base: Run, tmp_path: Path, corpus: Path
) -> None:
    init = f"{{run: {base}, parts: encoder}}"
    sets = ("model.name=ds2_crossattn", "model.head.decoder={width: 32, heads: 2, layers: 1}")
    found, state, drawn = taken(
        set_up(cell_from(init, tmp_path, corpus, *sets), tmp_path / "results")
    )
    weights = load_file(base.weights_path())
    assert equal({k: v for k, v in weights.items() if k.startswith("encoder.")}, state)
    assert {name for name in state if name.startswith("head.")} <= drawn
    assert found.left == {"not of the encoder": ["head"]}
    assert found.taken.tensors == sum(name.startswith("encoder.") for name in weights)


def test_a_head_of_another_kind_is_left_and_told(base: Run, tmp_path: Path, corpus: Path) -> None:
    init = cell_from(
        base,
        tmp_path,
        corpus,
        "model.name=ds2_selfattn",
        "model.encoder.attention={heads: 2}",
        "model.encoder.recurrence.layers=2",
    )
    setup = set_up(init, tmp_path / "results")
    heard = Heard()
    train(setup, heard)
    said = [line for line in heard.lines if "from" in line or "not taken" in line]
    assert len(said) == 2
    record = setup.run.env["init_from"]
    assert f"{record['taken']['tensors']} tensors" in said[0]
    assert str(base.weights_path()) in said[0]
    assert record["left"]["not in the other run"]
    for names in record["left"].values():
        assert all(name in said[1] for name in names)
    total = record["taken"]["parameters"] + record["drawn"]["parameters"]
    assert total == setup.run.env["parameters"]


def test_tensors_over_other_symbols_are_left_though_their_shapes_agree(
    base: Run, tmp_path: Path
) -> None:
    """As many letters, but others: `d` stands for `a`."""
    other = make_corpus(
        tmp_path / "other", [t.replace("a", "d") for t in TEXTS], [TEXTS[1].replace("a", "d")]
    )
    setup = set_up(cell_from(base, tmp_path, other), tmp_path / "results")
    assert len(setup.tokenizer) == base.env["symbols"]
    found, state, _ = taken(setup)
    weights = load_file(base.weights_path())
    assert state["head.output.weight"].shape == weights["head.output.weight"].shape
    assert not torch.equal(state["head.output.weight"], weights["head.output.weight"])
    assert equal(weights, state, "encoder.")
    why = "over symbols, and the tokenizers differ"
    assert found.left == {why: ["head"]}
    assert any(why in line for line in found.lines())


def test_embeddings_and_output_layers_are_those_over_symbols(
    base: Run, tmp_path: Path, corpus: Path
) -> None:
    source = trained(cell_of(tmp_path, corpus, SHORT, *TRANSDUCER), tmp_path / "results")
    other = make_corpus(
        tmp_path / "other", [t.replace("a", "d") for t in TEXTS], [TEXTS[1].replace("a", "d")]
    )
    found, _, _ = taken(
        set_up(cell_from(source, tmp_path, other, *TRANSDUCER), tmp_path / "results")
    )
    (names,) = found.left.values()
    assert set(names) == {"head.output", "head.prediction.embedding"}


def test_other_features_are_told(base: Run, tmp_path: Path, corpus: Path) -> None:
    cell = cell_from(base, tmp_path, corpus, "features={kind: mfcc, bands: 20, coefficients: 20}")
    found, _, _ = taken(set_up(cell, tmp_path / "results"))
    assert any("features differ" in line for line in found.lines())


def test_tensors_of_another_shape_are_left_of_all_and_an_error_of_the_encoder(
    base: Run, tmp_path: Path, corpus: Path
) -> None:
    wider = "model.encoder.recurrence.width=48"
    found, _, _ = taken(set_up(cell_from(base, tmp_path, corpus, wider), tmp_path / "results"))
    assert "of another shape" in found.left
    init = f"{{run: {base}, parts: encoder}}"
    with pytest.raises(UserError) as error:
        set_up(cell_from(init, tmp_path, corpus, wider), tmp_path / "results")
    line = str(error.value)
    name = "encoder.recurrence.0.forwards.weight_ih_l0"  # three gates of 32 or 48
    assert line.startswith(
        f"init_from: found {name} of shape [96, 20] in {base.weights_path()}, allowed: [144, 20] "
        f"as in ds2; "
    )


def test_a_mismatch_is_exit_2_and_nothing_is_created(
    base: Run, tmp_path: Path, corpus: Path
) -> None:
    init = f"{{run: {base}, parts: encoder}}"
    cell_from(init, tmp_path, corpus)
    arguments = [f"--set=init_from={init}", "--set=model.encoder.recurrence.width=48"]
    results = tmp_path / "new"
    done = CliRunner().invoke(
        app, ["train", str(tmp_path / "tiny.yaml"), *arguments, "--results", str(results)]
    )
    assert done.exit_code == 2
    assert not results.exists()


def test_runs_without_a_tensor_in_common_and_several_runs_are_refused(
    base: Run, tmp_path: Path, corpus: Path
) -> None:
    init = f"{{run: {base}, parts: encoder}}"
    cell = cell_from(init, tmp_path, corpus, "model={name: jasper, encoder: {blocks: 5}}")
    with pytest.raises(UserError, match=r"no tensor of .* has the name and the shape"):
        set_up(cell, tmp_path / "results")
    copied(base, tmp_path / "two" / "a")
    copied(base, tmp_path / "two" / "b")
    with pytest.raises(UserError, match=r"found 2 runs in .*two, allowed: one"):
        set_up(cell_from(tmp_path / "two", tmp_path, corpus), tmp_path / "results")


@pytest.mark.parametrize("how", ["gone", "cut", "average"])
def test_a_source_that_cannot_be_read_is_one_line(
    how: str, base: Run, tmp_path: Path, corpus: Path
) -> None:
    run = copied(base, tmp_path / "copy")
    path = run.weights_path("best")
    expected = {
        "gone": "its weights, best.safetensors of epoch",
        "cut": "found no safetensors file",
        "average": "its weights, average.safetensors",
    }[how]
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    init = f"{{run: {run}, checkpoint: {'average' if how == 'average' else 'best'}}}"
    with pytest.raises(UserError, match=expected):
        set_up(cell_from(init, tmp_path, corpus), tmp_path / "results")
    assert not (tmp_path / "results").exists()


# Identity and resuming


def test_identity_is_of_the_content_and_not_of_the_path(
    base: Run, tmp_path: Path, corpus: Path
) -> None:
    names = []
    for folder in ("here", "there"):
        run = copied(base, tmp_path / folder)
        names.append(set_up(cell_from(run, tmp_path, corpus), tmp_path).run.folder.name)
    changed(run)
    names.append(set_up(cell_from(run, tmp_path, corpus), tmp_path).run.folder.name)
    cell = cell_of(tmp_path, corpus, SHORT, "seeds=[7]")
    names.append(set_up(cell, tmp_path).run.folder.name)
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_a_run_that_started_from_another_is_sound(base: Run, tmp_path: Path, corpus: Path) -> None:
    run = trained(cell_from(base, tmp_path, corpus), tmp_path / "results")
    assert not same_weights(run, base)
    assert run.cell.init_from is not None
    assert run.cell.init_from.digest is not None
    assert list(faults_of(Contents.of([run.folder]))) == []


def test_a_run_that_was_stopped_goes_on_without_the_other_run(
    base: Run, tmp_path: Path, corpus: Path
) -> None:
    source = copied(base, tmp_path / "source")
    cell = cell_from(source, tmp_path, corpus, "train.epochs=2")
    whole = trained(cell, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(set_up(cell, tmp_path / "halves"), StopsAfter(3))
    shutil.rmtree(source.folder)
    with pytest.raises(UserError, match="found no run folder"):
        set_up(cell, tmp_path / "elsewhere")
    halves = trained(cell, tmp_path / "halves")
    assert same_weights(whole, halves)
    assert halves.folder.name == whole.folder.name
    assert set_up(cell, tmp_path / "halves").run.done


def test_weights_that_change_before_training_starts_are_not_taken(
    base: Run, tmp_path: Path, corpus: Path
) -> None:
    source = copied(base, tmp_path / "source")
    setup = set_up(cell_from(source, tmp_path, corpus), tmp_path / "results")
    changed(source)
    with pytest.raises(UserError, match=r"init_from: found weights with the digest .* allowed: "):
        train(setup, Heard())
    assert not setup.run.spec_path.exists()


def test_two_runs_from_one_path_are_told_apart_by_the_digest(
    base: Run, tmp_path: Path, corpus: Path
) -> None:
    source = copied(base, tmp_path / "source")
    cell = cell_from(source, tmp_path, corpus)
    one = trained(cell, tmp_path / "results")
    changed(source)
    other = trained(cell, tmp_path / "results")
    shutil.rmtree(source.folder)
    assert one.folder != other.folder
    with pytest.raises(UserError, match="found no run folder"):
        set_up(cell, tmp_path / "results")
    for run in (one, other):
        assert run.cell.init_from is not None
        init = f"{{run: {source}, digest: {run.cell.init_from.digest}}}"
        found = set_up(cell_from(init, tmp_path, corpus), tmp_path / "results").run
        assert found.folder == run.folder
