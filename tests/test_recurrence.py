"""The options of the recurrence, and the original study's trunk, against torch's own.

Legend: B batch, T frames, D width, H units per direction.
"""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from small_models import BINS, batch, build, close, features, fresh, padded, small
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asrbench.experiment.spec import ADDED_LATER, Cell, RecordedCell
from asrbench.experiment.spec_file import load_study
from asrbench.models.encoders.deepspeech2 import DeepSpeech2
from asrbench.models.layers.recurrence import CELLS, RecurrenceSpec, RecurrentLayer
from asrbench.models.model import build_model
from asrbench.scoring.results import differing_keys

WIDTH = 16
LSTM_KEYS = {"cell": "lstm", "initial": "orthogonal", "forget_bias": 1.0}


def bidirectional(layer: RecurrentLayer, cell: str) -> nn.RNNBase:
    """Returns torch's own bidirectional layer with the weights of `layer`."""
    theirs = CELLS[cell](layer.forwards.input_size, layer.forwards.hidden_size, bidirectional=True)
    theirs.batch_first = True
    with torch.no_grad():
        for name, parameter in layer.forwards.named_parameters():
            getattr(theirs, name).copy_(parameter)
        for name, parameter in layer.backwards.named_parameters():
            getattr(theirs, f"{name}_reverse").copy_(parameter)
    return theirs


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_layer_without_norm_or_with_an_activation_is_torchs(cell: str, batch_norm: bool) -> None:
    """In eval mode with random statistics, on packed sequences, outputs and gradients; inputs are
    so large that the clip at 20 acts."""
    lengths, width = torch.tensor([6, 9, 1]), 5
    keys = {"cell": cell, "width": 4, "dropout": 0.0, "activation": "clipped_relu"}
    spec = RecurrenceSpec.model_validate({**keys, "batch_norm": batch_norm})
    mine = RecurrentLayer(spec, width).eval()
    assert (mine.norm is not None) == batch_norm
    x_BTD = padded([30 * features(n, width, seed=n) for n in lengths.tolist()], 9).requires_grad_()
    normed_BTD = x_BTD
    if mine.norm is not None:
        mine.norm.running_mean.uniform_(-1, 1)
        mine.norm.running_var.uniform_(0.3, 1.5)
        flat_ND = F.batch_norm(x_BTD.flatten(0, 1), mine.norm.running_mean, mine.norm.running_var)
        normed_BTD = flat_ND.view_as(x_BTD)
    clipped_BTD = normed_BTD.clamp(0, 20)
    assert (normed_BTD[0, :6] > 20).any()
    packed = pack_padded_sequence(clipped_BTD, lengths, batch_first=True, enforce_sorted=False)
    theirs_BTE, _ = pad_packed_sequence(bidirectional(mine, cell)(packed)[0], batch_first=True)
    mine_BTE = mine(x_BTD, lengths)
    close(mine_BTE, theirs_BTE)
    slope_BTE = features(*mine_BTE.shape)
    (mine_gradient,) = torch.autograd.grad((mine_BTE * slope_BTE).sum(), x_BTD)
    (theirs_gradient,) = torch.autograd.grad((theirs_BTE * slope_BTE).sum(), x_BTD)
    close(mine_gradient, theirs_gradient)


# The original study's trunk


def test_the_study_model_is_the_study_model() -> None:
    """From the convolutions on, written again with torch's modules: batch norm, clipped ReLU, a
    bidirectional GRU, the block, three times over, and layer norm. Nothing is padded and all is in
    training mode, so that the statistics are the batch's; dropout is the block's alone, here 0."""
    model = build(small("ds2_selfattn_study")).train()
    encoder = model.encoder
    assert isinstance(encoder, DeepSpeech2)
    x_BTF, frames_B = features(2, 40, BINS), torch.tensor([40, 40])
    y_BTD, _ = encoder.front_end(x_BTF, frames_B)
    mask_BT = torch.ones(y_BTD.shape[:2], dtype=torch.bool)
    for layer, block in zip(encoder.recurrence, encoder.attention, strict=True):
        assert isinstance(layer, RecurrentLayer)
        assert layer.norm is not None
        norm = nn.BatchNorm1d(y_BTD.shape[2])
        norm.load_state_dict(layer.norm.state_dict() | {"num_batches_tracked": torch.tensor(0)})
        y_BTD = F.hardtanh(norm(y_BTD.transpose(1, 2)), 0, 20).transpose(1, 2)
        y_BTD = block(bidirectional(layer, "gru")(y_BTD)[0], mask_BT)
    norm = encoder.norm
    y_BTD = F.layer_norm(y_BTD, (y_BTD.shape[2],), norm.weight, norm.bias)
    close(encoder(x_BTF, frames_B)[0], y_BTD)


def test_the_study_model_drops_outputs_of_its_blocks_only(tmp_path: Path) -> None:
    spec = tmp_path / "study.yaml"
    spec.write_text("name: s\ncorpus: data/s\nmodel: {name: ds2_selfattn_study}\n")
    (cell,) = load_study(spec).cells
    encoder = cell.model.encoder
    assert encoder.recurrence.dropout == 0
    assert encoder.recurrence.activation == "clipped_relu"
    assert (encoder.attention.kind, encoder.attention.dropout) == ("head_mixing", 0.1)


# Initial values


def initial(**keys: object) -> dict[str, Tensor]:
    model = fresh(small("ds2", encoder={"recurrence": keys}))
    return {name: p.detach() for name, p in model.named_parameters()}


@pytest.mark.parametrize("cell", CELLS)
def test_orthogonal_makes_the_matrix_of_each_gate_orthogonal(cell: str) -> None:
    found, plain = initial(cell=cell, initial="orthogonal"), initial(cell=cell)
    recurrent = [name for name in found if "weight_hh" in name]
    assert len(recurrent) == 4
    for name in recurrent:
        gates = found[name].split(WIDTH)
        assert len(gates) == {"rnn": 1, "gru": 3, "lstm": 4}[cell]
        for gate_HH in gates:
            close(gate_HH @ gate_HH.T, torch.eye(WIDTH))
        assert not any(torch.equal(gates[0], gate) for gate in gates[1:])
    assert not torch.equal(found[recurrent[0]], found[recurrent[1]])
    for name in set(found) - set(recurrent):
        assert torch.equal(found[name], plain[name]), name


def test_orthogonal_matrices_depend_on_the_seed_and_their_name_alone() -> None:
    name = "encoder.recurrence.0.forwards.weight_hh_l0"

    def drawn(model_name: str, seed: int) -> Tensor:
        spec = small(model_name, encoder={"recurrence": {"initial": "orthogonal"}})
        return build_model(spec, bins=BINS, symbols=7, seed=seed).state_dict()[name]

    torch.manual_seed(1)
    first = drawn("ds2", 5)
    torch.manual_seed(2)
    assert torch.equal(first, drawn("ds2", 5))
    assert torch.equal(first, drawn("ds2_selfattn", 5))
    assert not torch.equal(first, drawn("ds2", 6))


def test_the_forget_gates_start_open() -> None:
    """torch adds its two biases: their sum is 1 for the forget gate, the second of four."""
    found, plain = initial(cell="lstm", forget_bias=1.0), initial(cell="lstm")
    for name in found:
        if "bias_ih" in name:
            both = found[name] + found[name.replace("bias_ih", "bias_hh")]
            gates = both.split(WIDTH)
            assert [gate.unique().tolist() for gate in gates] == [[0.0], [1.0], [0.0], [0.0]]
        else:
            assert torch.equal(found[name], plain[name]), name


def test_a_model_with_all_options_encodes_each_utterance_as_alone() -> None:
    keys = {**LSTM_KEYS, "batch_norm": False, "activation": "clipped_relu"}
    model, (x_BTF, frames_B) = build(small("ds2_selfattn", encoder={"recurrence": keys})), batch()
    encoded = model.encode(x_BTF, frames_B)
    for b, frames in enumerate(frames_B.tolist()):
        alone = model.encode(x_BTF[b : b + 1, :frames], frames_B[b : b + 1])
        close(encoded.utterance(b).x_BTD, alone.x_BTD)


# Identity


def cell_of(**recurrence: object) -> Cell:
    model = small("ds2", encoder={"recurrence": recurrence})
    return Cell(experiment="e", variant="v", seed=0, corpus="c", model=model)


def test_defaults_leave_the_identity_as_it_was_before_the_options() -> None:
    """A run recorded without them is the run that a spec means by their defaults."""
    options = {path.rpartition(".")[2] for path in ADDED_LATER if ".recurrence." in path}
    assert options == {"batch_norm", "activation", "initial", "forget_bias"}
    keys = cell_of().plain()
    for option in options:
        del keys["model"]["encoder"]["recurrence"][option]
    recorded = RecordedCell.model_validate_json(json.dumps(keys))
    today = RecordedCell.model_validate_json(cell_of().model_dump_json())
    plain = cell_of().identity("f1")
    assert recorded.identity("f1") == today.identity("f1") == plain
    assert not differing_keys(recorded, today)
    changes: dict[str, object] = {"batch_norm": False, "activation": "clipped_relu"}
    changes["initial"] = "orthogonal"
    others = [cell_of(**{key: value}).identity("f1") for key, value in changes.items()]
    assert len({plain, *others}) == 4
    lstm = [cell_of(cell="lstm", forget_bias=b).identity("f1") for b in (0.0, 1.0)]
    assert lstm[0] != lstm[1]
