"""Several processes train one run: the sums are those of one process, to rounding.

Ranks are two processes forked from one that has imported torch, but for the tests of the command,
which start it with torchrun.
"""

import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tones import (
    TEXTS,
    Heard,
    StopsAfter,
    cell_of,
    make_corpus,
    same_weights,
    sets_for,
    spoken,
    trained,
)

from asrbench.base.distributed import ALONE, VARIABLES, Ranks
from asrbench.base.errors import RankError, UserError
from asrbench.data.batch_sampler import share_of
from asrbench.experiment.registry import MODELS
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import Cell
from asrbench.models.layers.masking import MaskedBatchNorm, valid_frames
from asrbench.recogniser.devices import deterministic, resolve_device
from asrbench.recogniser.loader import Batch, dummy_batch, make_batch
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.loop import train
from asrbench.training.setup import set_up, set_up_all
from asrbench.training.step import Trainer
from asrbench.training.stopping import Interrupted, OutOfMemory, TimeUp

LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
"""Both ranks are on this machine, whatever its name resolves to."""
TOKENIZER = Tokenizer.of("char", ["abc"])
AVERAGE = "train.weights={kind: average, epochs: 2}"
Pair = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Calls a function of this module on two ranks, and gives what each returned."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["asrbench.training.loop", "torch.distributed.nn.functional"])
    with ProcessPoolExecutor(2, mp_context=context) as pool:

        def on_two(function: Callable[..., Any], *arguments: object) -> list[Any]:
            with socket.create_server(("127.0.0.1", 0)) as server:
                port = server.getsockname()[1]
            calls = [pool.submit(_on, rank, port, function, *arguments) for rank in (0, 1)]
            return [call.result(timeout=300) for call in calls]

        yield on_two


def _on(rank: int, port: int, function: Callable[..., Any], *arguments: object) -> Any:
    torch.set_num_threads(1)
    os.environ.update(LOOPBACK)
    said = (rank, 2, rank, 2, "127.0.0.1", port)
    os.environ.update(zip(VARIABLES, map(str, said), strict=True))
    ranks = Ranks.of_environment()
    result = function(ranks, *arguments)
    ranks.close()
    return result


# Collectives


def agree(ranks: Ranks) -> tuple[object, ...]:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    total = ranks.sum(x * (ranks.rank + 1))
    # Each rank has a loss of its own of what they share; the gradient is that of both losses.
    (total * torch.tensor([1.0, 10.0 * ranks.rank])).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return (
        total.tolist(),
        x.grad.tolist(),
        int(ranks.sum(torch.tensor(2**40 + ranks.rank))),
        ranks.maximum(ranks.rank, 1 - ranks.rank, 0),
        ranks.gather(f"of {ranks.rank}"),
        ranks.broadcast({"rank": ranks.rank}),
    )


def test_what_ranks_agree_on(pair: Pair) -> None:
    same = (2**41 + 1, [1, 1, 0], ["of 0", "of 1"], {"rank": 0})
    assert pair(agree) == [
        ([3.0, 6.0], [2.0, 10.0], *same),
        ([3.0, 6.0], [4.0, 20.0], *same),
    ]


def test_alone_everything_is_as_it_was() -> None:
    x = torch.ones(2)
    assert Ranks.of_environment() is ALONE
    assert ALONE.sum(x) is x
    assert ALONE.maximum(2, 0) == [2, 0]
    assert ALONE.gather("a") == ["a"]
    assert ALONE.broadcast("a") == "a"
    with pytest.raises(UserError, match="mine"), ALONE.errors_shared():
        raise UserError("mine")
    ALONE.close()


def one_fails(ranks: Ranks) -> str:
    try:
        with ranks.errors_shared():
            if ranks.rank == 1:
                raise UserError("rank 1 has none")
    except UserError as error:
        return str(error)
    return "no error"


def test_an_error_of_one_is_an_error_of_all(pair: Pair) -> None:
    assert pair(one_fails) == ["rank 1 has none"] * 2


def test_half_an_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match=r"found WORLD_SIZE, but no LOCAL_RANK, .*with torchrun"):
        Ranks.of_environment()


def test_each_rank_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    assert resolve_device("auto", Ranks(5, 8, 1, 2)) == torch.device("cuda", 1)
    assert resolve_device("cpu", Ranks(5, 8, 1, 4)) == torch.device("cpu")
    with pytest.raises(UserError) as caught:
        resolve_device("auto", Ranks(5, 8, 1, 4))
    assert str(caught.value) == (
        "device: found 4 processes and 2 CUDA devices on this machine; "
        "use torchrun --nproc-per-node 2, or --device cpu"
    )


# Shares


def test_a_micro_batch_is_assigned_round_robin() -> None:
    micro_batch = [7, 8, 9, 10, 11]
    assert [share_of(micro_batch, rank, 2) for rank in (0, 1)] == [[7, 9, 11], [8, 10]]
    assert [share_of([7], rank, 3) for rank in (0, 1, 2)] == [[7], [], []]
    assert share_of(micro_batch, 0, 1) == micro_batch


Norms = list[tuple[list[float], ...]]


def normalised(ranks: Ranks, lengths: list[int], muted: int | None) -> Norms:
    """Outputs of this rank's utterances, and gradients and statistics, of three kinds of input.

    The loss weighs every output with a number of its own.
    """
    found: Norms = []
    generator = torch.Generator().manual_seed(0)
    mask_BT = valid_frames(torch.tensor(lengths), max(lengths))
    mine = slice(ranks.rank, None, ranks.world_size)
    for shape in ((3,), (3, 2), ()):
        x = 2 + torch.randn(len(lengths), *(shape or (3,)), max(lengths), generator=generator)
        slope = torch.randn(x.shape, generator=generator)
        x, slope, mask = x[mine].requires_grad_(), slope[mine], mask_BT[mine]
        norm = MaskedBatchNorm(3)
        if ranks.world_size > 1:
            weight = ranks.rank != muted
            norm.everywhere = lambda sums, weight=weight: ranks.sum(sums * weight)
        if shape:
            valid = mask.view(len(x), *[1] * len(shape), -1)
            y, slope = norm(x, mask) * valid, slope * valid
        else:
            y, slope = (norm.rows(x.mT[mask]), slope.mT[mask])
        ((y * slope).sum() * (ranks.rank != muted)).backward()
        assert x.grad is not None
        gradients = [ranks.sum(p.grad) for p in (norm.weight, norm.bias) if p.grad is not None]
        kept = (y, x.grad, *gradients, norm.running_mean, norm.running_var)
        found.append(tuple(each.detach().flatten().tolist() for each in kept))
    return found


def test_batch_norm_of_two_processes_is_that_of_one(pair: Pair) -> None:
    """Masked, with feature bins, and of packed rows; a rank has one of the utterances each."""
    by_rank = pair(normalised, [5, 3], None)
    alone = normalised(ALONE, [5, 3], None)
    for kind, whole in enumerate(alone):
        for each, expected in enumerate(whole):
            micro_batches = [rank[kind][each] for rank in by_rank]
            if each < 2:  # outputs and their gradients are of a rank's own utterance
                found, rows = sorted(micro_batches[0] + micro_batches[1]), sorted(expected)
            else:
                assert micro_batches[0] == micro_batches[1]
                found, rows = micro_batches[0], expected
            assert found == pytest.approx(rows, rel=1e-4, abs=1e-5)


def test_a_rank_that_is_not_counted_changes_no_statistics(pair: Pair) -> None:
    """Those of the other rank's utterance are what either keeps; nothing flows back to its own."""
    first, second = pair(normalised, [5, 3], 1)
    counted = pair(normalised, [5, 3], None)[0]
    for muted, other, both in zip(first, second, counted, strict=True):
        assert muted[2:] == other[2:]
        assert muted[4:] != both[4:]
        assert other[1] == [0.0] * len(other[1])


# Steps


def batch_of(texts: list[str]) -> Batch:
    if not texts:
        return dummy_batch()
    waves = [spoken(text) for text in texts]
    return make_batch([f"u-{text}" for text in texts], texts, waves, TOKENIZER)


def stepped(
    ranks: Ranks, cells: list[Cell], micro_batches: list[list[str]]
) -> list[dict[str, Any]]:
    """For each cell: the gradients and running statistics after a step, and what it measured."""
    found = []
    for cell in cells:
        trainer = Trainer(cell, TOKENIZER, "f1", torch.device("cpu"), ranks)
        shares = [
            batch_of(share_of(micro_batch, ranks.rank, ranks.world_size))
            for micro_batch in micro_batches
        ]
        metrics = trainer.step(shares, epoch=0, number=0, progress=0.5)
        model = trainer.recogniser.model
        tensors = {name: p.grad for name, p in model.named_parameters()}
        tensors |= dict(model.named_buffers())
        assert None not in tensors.values()
        measured = [float(ranks.sum(loss)) for loss in metrics.losses.values()]
        measured += [float(metrics.gradient_norm), *metrics.layer_norms_L.tolist()]
        plain = {name: t.tolist() for name, t in tensors.items() if t is not None}
        found.append(plain | {"measured": measured})
    return found


def compare(found: dict[str, Any], expected: dict[str, Any], what: str) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(
            torch.tensor(value),
            torch.tensor(expected[name]),
            rtol=1e-3,
            atol=1e-4,
            msg=lambda told, name=name: f"{what}, {name}: {told}",
        )


@pytest.mark.parametrize(
    "micro_batches",
    [[["abc", "ab", "cab"]], [["abcab", "bc", "a"], ["cabc"]], [["ab"]]],
    ids=["a batch", "in two micro-batches, one too small for two", "one utterance"],
)
def test_a_step_of_two_processes_is_that_of_one(
    micro_batches: list[list[str]], pair: Pair, tmp_path: Path, corpus: Path
) -> None:
    """Gradients, statistics of batch norm and metrics, for every variant and every kind of
    recurrence: the same sums in another order."""
    kinds = [sets_for(name) for name in MODELS]
    kinds += [[f"model.encoder.recurrence.cell={cell}"] for cell in ("rnn", "lstm")]
    kinds += [["model.encoder.front_end={kind: vgg, channels: 2}"]]
    cells = [cell_of(tmp_path, corpus, "train.optimizer.clip_norm=1e9", *s) for s in kinds]
    one, two = pair(stepped, cells, micro_batches)
    alone = stepped(ALONE, cells, micro_batches)
    for sets, first, second, expected in zip(kinds, one, two, alone, strict=True):
        assert first == second
        compare(first, expected, " ".join(sets))


def losses_of(ranks: Ranks, cell: Cell) -> list[float]:
    trainer = Trainer(cell, TOKENIZER, "f1", torch.device("cpu"), ranks)
    loss = trainer.step([batch_of(["abcabc"])], epoch=0, number=0, progress=0.0).losses["total"]
    return ranks.gather(loss.item())


def test_ranks_draw_dropout_each_for_itself(pair: Pair, tmp_path: Path, corpus: Path) -> None:
    first, second = pair(
        losses_of, cell_of(tmp_path, corpus, "model.encoder.recurrence.dropout=0.5")
    )
    assert first == second
    assert first[0] != pytest.approx(first[1], rel=1e-6)


# Runs


def train_two(
    ranks: Ranks, cell: Cell, results: Path, stops: list[int | None]
) -> tuple[str, list[str]]:
    """How training ended on this rank, and what it said; a signal comes after some steps."""
    steps, heard = stops[ranks.rank], Heard()
    reporter = StopsAfter(steps) if steps else heard
    try:
        (prepared,) = set_up_all([cell], results, ranks)
        train(prepared, reporter)
    except (Interrupted, TimeUp, UserError) as error:
        return f"{type(error).__name__}: {error}", heard.lines
    return "done", heard.lines


def curve(run: Run) -> list[float]:
    return [row[name] for row in run.history() for name in ("loss", "gradient_norm")]


@pytest.mark.parametrize("name", ["ds2", "ds2_crossattn"])
def test_a_signal_to_one_rank_stops_all_and_another_number_goes_on(
    name: str, pair: Pair, tmp_path: Path, corpus: Path
) -> None:
    """From two to one and from one to two; a run has the loss curve of one process: steps that
    agree to 1e-6 drift apart as Adam divides by what is nearly zero."""
    cell = cell_of(tmp_path, corpus, *sets_for(name), "train.accumulate=2", AVERAGE)
    whole = trained(cell, tmp_path / "whole")
    (first, _), (second, _) = pair(train_two, cell, tmp_path / "halves", [None, 4])
    assert first == second
    assert first.startswith("Interrupted")
    assert "stopped in epoch 2 after batch 1 of 3" in first
    halves = trained(cell, tmp_path / "halves")

    with pytest.raises(Interrupted):
        train(set_up(cell, tmp_path / "swapped"), StopsAfter(4))
    ends = pair(train_two, cell, tmp_path / "swapped", [None, None])
    assert [end for end, _ in ends] == ["done", "done"]
    swapped = Run.of(tmp_path / "swapped", cell, set_up(cell, tmp_path).corpus.fingerprint)
    for run in (halves, swapped):
        assert curve(run) == pytest.approx(curve(whole), rel=1e-3)
        assert [r["dev_cer"] for r in run.history()] == [r["dev_cer"] for r in whole.history()]
        assert run.history()[-1]["average_dev_cer"] == whole.history()[-1]["average_dev_cer"]
    assert swapped.env["ranks"] == 1
    assert halves.env["ranks"] == 2
    assert not (halves.folder / "lock.holder").exists()


def test_two_ranks_start_from_another_run_and_freeze_as_one_does(
    pair: Pair, tmp_path: Path, corpus: Path
) -> None:
    """The frozen front end, batch norm included, has the bits of the other run."""
    base = trained(cell_of(tmp_path, corpus, "train.epochs=1"), tmp_path / "base")
    sets = (f"init_from={base}", "train.freeze=[encoder.front_end]", "train.epochs=2", "seeds=[5]")
    best = "train.weights={kind: average, epochs: 2, of: best}"
    cell = cell_of(tmp_path, corpus, *sets, best)
    alone = trained(cell, tmp_path / "alone")
    ends = pair(train_two, cell, tmp_path / "both", [None, None])
    assert [end for end, _ in ends] == ["done", "done"]
    (both,) = Run.find([tmp_path / "both"])
    assert both.folder.name == alone.folder.name
    assert both.env["init_from"] == alone.env["init_from"]
    assert curve(both) == pytest.approx(curve(alone), rel=1e-3)
    source = load_file(base.weights_path())
    for which in ("last", "average"):
        found = load_file(both.weights_path(which))
        same = {name for name in source if torch.equal(source[name], found[name])}
        assert same == {name for name in source if name.startswith("encoder.front_end.")}


def test_two_ranks_give_the_same_weights_each_time(
    pair: Pair, tmp_path: Path, corpus: Path
) -> None:
    """Dropout on: bit for bit, also when stopped in between."""
    cell = cell_of(tmp_path, corpus, "train.epochs=2", "model.encoder.recurrence.dropout=0.2")
    pair(train_two, cell, tmp_path / "whole", [None, None])
    pair(train_two, cell, tmp_path / "halves", [2, 2])
    pair(train_two, cell, tmp_path / "halves", [None, None])
    whole, halves = (Run.find([tmp_path / name])[0] for name in ("whole", "halves"))
    assert whole.done
    assert same_weights(whole, halves)


def test_a_run_that_is_held_is_refused_on_every_rank(
    pair: Pair, tmp_path: Path, corpus: Path
) -> None:
    cell = cell_of(tmp_path, corpus)
    prepared = set_up(cell, tmp_path / "results")
    with prepared.run.held():
        (first, _), (second, _) = pair(train_two, cell, tmp_path / "results", [None, None])
    assert first == second
    assert f"process {os.getpid()} on" in first


def test_a_damaged_state_is_told_on_every_rank(pair: Pair, tmp_path: Path, corpus: Path) -> None:
    cell = cell_of(tmp_path, corpus)
    prepared = set_up(cell, tmp_path / "results")
    with pytest.raises(Interrupted):
        train(prepared, StopsAfter(1))
    (state,) = prepared.run.state_paths()
    state.write_bytes(b"cut")
    (first, _), (second, _) = pair(train_two, cell, tmp_path / "results", [None, None])
    assert first == second
    assert "is damaged, and there is no other state to resume from" in first


def diverging(ranks: Ranks, cell: Cell, results: Path) -> str:
    return train_two(ranks, cell, results, [None, None])[0]


def test_divergence_is_told_alike_on_every_rank(pair: Pair, tmp_path: Path, corpus: Path) -> None:
    cell = cell_of(tmp_path, corpus, "train.optimizer.lr=1e30", "train.optimizer.clip_norm=1e9")
    first, second = pair(diverging, cell, tmp_path / "results")
    assert first == second
    assert first.startswith("Diverged: ")


def with_corpora(ranks: Ranks, cells: list[Cell], results: Path) -> str:
    try:
        set_up_all([cells[ranks.rank]], results, ranks)
    except UserError as error:
        return str(error)
    return "no error"


def test_ranks_that_find_another_corpus_are_refused(
    pair: Pair, tmp_path: Path, corpus: Path
) -> None:
    other = make_corpus(tmp_path / "other", TEXTS[:3], TEXTS[:1])
    cells = [cell_of(tmp_path, each) for each in (corpus, other)]
    first, second = pair(with_corpora, cells, tmp_path / "results")
    assert first == second
    assert first.startswith("rank 1: found the runs seed0-")
    assert first.endswith("give every machine the same spec, corpus, sounds and kind of device")


def full(*_: object, **__: object) -> None:
    raise torch.OutOfMemoryError


def out_of_memory(ranks: Ranks, cell: Cell, results: Path) -> str:
    """How training ends on this rank where the first step does not fit its memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", full)
        return train_two(ranks, cell, results, [None, None])[0]


def test_out_of_memory_on_one_of_several_ranks_ends_them(
    pair: Pair, tmp_path: Path, corpus: Path
) -> None:
    """The others would wait for it in the step, so no other run of the study can be begun; each
    rank says what it met itself."""
    ends = pair(out_of_memory, cell_of(tmp_path, corpus), tmp_path / "results")
    for rank, end in enumerate(ends):
        assert end.startswith(f"RankError: rank {rank}: ")
        assert "out of memory on cpu in step 1 (utterances: " in end
    assert not issubclass(RankError, OutOfMemory)


# Deterministic


def test_deterministic_is_for_cuda_and_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    enabled = torch.are_deterministic_algorithms_enabled
    with deterministic(True, torch.device("cpu")):
        assert not enabled()
    with deterministic(False, torch.device("cuda")):
        assert not enabled()
    with deterministic(True, torch.device("cuda")):
        assert enabled()
        assert torch.backends.cudnn.deterministic
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert not enabled()
    assert not torch.backends.cudnn.deterministic
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)


# The command


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*launcher, "--nproc-per-node", "2", "-m", "asrbench", "train", *map(str, arguments)],
        env=os.environ | LOOPBACK,
        capture_output=True,
        text=True,
        check=False,
    )


def test_torchrun_trains_a_study(tmp_path: Path, corpus: Path) -> None:
    """A time limit that is over at once: the first run makes one step, the other is left."""
    cell = cell_of(tmp_path, corpus, "train.epochs=2")
    spec = tmp_path / "tiny.yaml"
    spec.write_text(spec.read_text() + "seeds: [0, 1]\n")
    sets = ("--set", "train.epochs=2")
    done = torchrun(spec, *sets, "--max-hours", "1e-9", "--results", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the time is up, stopped in epoch 1 after batch 1 of 3") == 1
    assert done.stdout.count("2 of 2 runs are left") == 1
    done = torchrun(spec, *sets, "--results", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("continues at epoch 1, batch 2") == 1
    assert done.stdout.count("next: asrbench eval") == 1
    runs = Run.find([tmp_path / "results"])
    assert [run.done for run in runs] == [True, True]
    assert [run.env["ranks"] for run in runs] == [2, 2]
    whole = trained(cell, tmp_path / "whole")
    assert curve(runs[0]) == pytest.approx(curve(whole), rel=1e-4)
    assert [r["dev_cer"] for r in runs[0].history()] == [r["dev_cer"] for r in whole.history()]


def test_a_mistake_is_told_once(tmp_path: Path, corpus: Path) -> None:
    cell_of(tmp_path, corpus)
    done = torchrun(tmp_path / "tiny.yaml", "--set", "corpus=nowhere")
    assert done.returncode == 1, "torchrun's own"
    assert done.stderr.count("error: corpus: nowhere is no prepared corpus") == 1
    assert done.stderr.count("Traceback") == 1, "torchrun's own"


@pytest.mark.parametrize("found", ["abc", "", "-1", "1.5"])
def test_a_world_size_that_is_no_number_is_one_line(
    monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", found)
    with pytest.raises(UserError, match=f"environment: found WORLD_SIZE={found}, allowed: a whole"):
        Ranks.of_environment()
