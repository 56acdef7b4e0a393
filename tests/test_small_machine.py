"""Training on a machine that is short of shared memory or of disk, and loses processes."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import Process
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
import torch
from tones import cell_of, same_weights, trained

from asrbench.base.errors import UserError
from asrbench.base.reporting import Silent
from asrbench.base.resources import resource_error
from asrbench.data.corpus import Corpus
from asrbench.data.waveform import Samples
from asrbench.experiment.run_folder import Run
from asrbench.recogniser.loader import Batch, load, make_batch
from asrbench.scoring.score import score
from asrbench.text.tokenizer import Tokenizer
from asrbench.training import loop
from asrbench.training.loop import train
from asrbench.training.setup import set_up
from asrbench.training.stopping import STOPPING, Failed, Interrupted, stop_signals

ROOTS = (Path(__file__).parent, Path(__file__).parents[1])
WITH_ROOTS = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, ROOTS))}
"""The environment of a process that imports the tests and asrbench."""

TOKENIZER = Tokenizer.of("char", ["abc"])


def test_a_batch_travels_between_processes_as_bytes_and_not_in_shared_memory() -> None:
    waves = [np.arange(16000, dtype=np.int16), np.arange(9000, dtype=np.int16)]
    batch = make_batch(["one", "two"], ["abc", "b"], waves, TOKENIZER)
    sent = ForkingPickler.dumps(batch)
    # A tensor in shared memory would be sent as its name, in about a hundred bytes.
    assert len(sent) > batch.waves_BS.nbytes
    received = pickle.loads(sent)
    assert type(received) is type(batch)
    for before, after in zip(batch, received, strict=True):
        if isinstance(before, torch.Tensor):
            assert torch.equal(before, after)
            assert before.dtype == after.dtype
        else:
            assert before == after


def process_of(wave: Samples, id: str) -> Samples:
    """A transform whose waveform says which process made it, and how that treats signals."""
    return np.array([os.getpid() % 2**15, os.getpgid(0) == os.getpid()], dtype=np.int16)


def test_no_more_processes_read_ahead_than_there_are_cores(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asrbench.recogniser.loader.available", lambda: 1)
    split = Corpus.open(corpus).split("train")
    plan = [[i] for i in range(len(split))]
    batches = [*load(split, TOKENIZER, plan, workers=10**6, transform=process_of)]
    (process,) = {int(batch.waves_BS[0, 0]) for batch in batches}
    assert process != os.getpid() % 2**15
    assert all(batch.waves_BS[0, 1] for batch in batches), "Ctrl-C would reach the process"


def dies(wave: Samples, id: str) -> Samples:
    os.kill(os.getpid(), signal.SIGKILL)
    return wave


def test_a_process_that_dies_ends_the_run_in_one_line_and_the_same_command_continues(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(tmp_path, corpus, "train.epochs=2", "run.workers=1")
    setup = set_up(cell, tmp_path / "lost")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "load", partial(_load_lost_in_second_epoch, []))
        with pytest.raises(Failed, match=r"reads batches ahead has ended .*run.workers=0") as error:
            train(setup, Silent())
    assert "\n" not in str(error.value)
    assert len(setup.run.history()) == 1
    resumed = trained(cell, tmp_path / "lost")
    assert same_weights(trained(cell, tmp_path / "whole"), resumed, "last")


def _load_lost_in_second_epoch(
    calls: list[int], *arguments: Any, transform: Any = None, **options: Any
) -> Iterator[Batch]:
    calls.append(1)
    return load(*arguments, transform=transform if len(calls) < 2 else dies, **options)


class CutsTheCorpus(Silent):
    """Cuts a file of the corpus when the first epoch has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def say(self, line: str) -> None:
        if "epoch 1/2" in line:
            os.truncate(self.path, 4_096)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corpus_that_is_cut_while_it_is_read_is_one_line_and_the_same_command_continues(
    tmp_path: Path, corpus: Path, workers: int
) -> None:
    copy = Path(shutil.copytree(corpus, tmp_path / "tones"))
    cell = cell_of(tmp_path, copy, "train.epochs=2", f"run.workers={workers}")
    path = copy / "train.arrow"
    whole = path.read_bytes()
    setup = set_up(cell, tmp_path / "cut")
    with pytest.raises(
        Failed, match=r"^[^\n]*was cut while it was read[^\n]*continues from there$"
    ):
        train(setup, CutsTheCorpus(path))
    assert len(setup.run.history()) == 1
    path.write_bytes(whole)
    resumed = trained(cell, tmp_path / "cut")
    assert same_weights(trained(cell, tmp_path / "whole"), resumed, "last")


EVERY_STEP = ("train.epochs=2", "run.checkpoint_minutes=1e-6")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Run:
    """A run that nothing has stopped."""
    folder = tmp_path_factory.mktemp("whole")
    return trained(cell_of(folder, corpus, *EVERY_STEP), folder)


def test_a_write_that_fails_is_one_line_and_the_same_command_continues(
    tmp_path: Path, corpus: Path, whole: Run
) -> None:
    resource = pytest.importorskip("resource")
    cell = cell_of(tmp_path, corpus, *EVERY_STEP)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size, file in ((100, "env.json"), (20_000, "state-1-new.pt")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            with pytest.raises(UserError, match=rf"{file}: File too large; raise") as error:
                trained(cell, tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "\n" not in str(error.value)
        assert not [*tmp_path.rglob("*.tmp-*")], "a temporary file takes the room"
    resumed = trained(cell, tmp_path)
    assert all(same_weights(whole, resumed, which) for which in ("last", "best"))


FILLED = """
import subprocess, sys
from pathlib import Path
from asrbench.base.errors import UserError
from asrbench.experiment.spec import Cell
from tones import same_weights, trained
from asrbench.experiment.run_folder import Run

spec, disk, whole, *sizes = sys.argv[1:]
cell, disk = Cell.model_validate_json(Path(spec).read_text()), Path(disk)
for size in sizes:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", disk], check=True)
    try:
        trained(cell, disk)
    except UserError as error:
        assert "No space left on device; make room" in str(error), error
        assert len(str(error).splitlines()) == 1
    else:
        sys.exit(f"all files fit into {size} KB")
    assert not [*disk.rglob("*.tmp-*")]
    subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
    resumed = trained(cell, disk)
    assert all(same_weights(Run(Path(whole)), resumed, which) for which in ("last", "best"))
    subprocess.run(["umount", disk], check=True)
"""
MOUNTS = ["unshare", "--mount", "--propagation", "private"]


def can_mount() -> bool:
    """Whether this process may mount a file system that no other process sees."""
    try:
        done = subprocess.run([*MOUNTS, "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
    except OSError:
        return False
    return done.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount a file system")
def test_a_disk_is_full_at_any_moment_of_training_and_the_same_command_continues(
    tmp_path: Path, corpus: Path, whole: Run
) -> None:
    spec, disk = tmp_path / "cell.json", tmp_path / "disk"
    spec.write_text(cell_of(tmp_path, corpus, *EVERY_STEP).model_dump_json())
    disk.mkdir()
    # The folder itself, env.json, a state, the weights, the second state, the third, the last.
    sizes = ["4", "24", "150", "260", "400", "600", "700"]
    done = subprocess.run(
        [*MOUNTS, sys.executable, "-c", FILLED, spec, disk, whole.folder, *sizes],
        env=WITH_ROOTS,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# Processes, signals and output

CALLER = """
import sys, time
from pathlib import Path
from asrbench.executors.pool import Pool
child = "import os, time; from asrbench.base import signals; "
child += f"signals.HAS_PRCTL = {sys.argv[2]}; signals.end_with_caller(); "
child += "print(os.getpid(), flush=True); time.sleep(600)"
with Pool([{}]) as pool:
    pool.start("child", [sys.executable, "-c", child], Path(sys.argv[1]))
    time.sleep(600)
"""


def eventually(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("has_prctl", [True, False], ids=["prctl", "thread"])
def test_a_run_ends_with_the_command_that_started_it_even_if_that_was_killed(
    tmp_path: Path, has_prctl: bool
) -> None:
    log = tmp_path / "log"
    caller = subprocess.Popen([sys.executable, "-c", CALLER, log, str(has_prctl)], env=WITH_ROOTS)
    eventually(lambda: log.is_file() and log.read_text().endswith("\n"))
    child = Path("/proc") / log.read_text().strip()
    assert child.exists()
    caller.kill()
    caller.wait()
    eventually(lambda: not child.exists() or "State:\tZ" in (child / "status").read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_that_asks_a_process_to_end_stops_training(
    tmp_path: Path, corpus: Path, number: signal.Signals
) -> None:
    class Sends(Silent):
        def progress(self, task: str, done: int, total: int, note: str = "") -> None:
            if task.startswith("epoch") and done == 1:
                os.kill(os.getpid(), number)

    setup = set_up(cell_of(tmp_path, corpus, "train.epochs=1"), tmp_path)
    # A signal that is ignored, as SIGHUP under nohup(1), stops nothing.
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted, match=r"in epoch 1 after batch 1 of 3; the same command"):
            train(setup, Sends())
    finally:
        signal.signal(number, before)
    assert len(setup.run.state_paths()) == 1


def test_a_closed_terminal_does_not_stop_training_where_its_signal_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals(Silent()) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_that_comes_while_a_line_is_written_is_told_afterwards() -> None:
    """A stream that is writing cannot be written to again by the same thread."""
    told: list[str] = []
    writing = Lock()

    class Writes(Silent):
        def say(self, line: str) -> None:
            with writing:
                told.append(line)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with stop_signals(Writes()) as stop:
            with writing:
                os.kill(os.getpid(), signal.SIGTERM)
                assert stop == [signal.SIGTERM]
                assert told == []
            for thread in threading.enumerate():
                if thread is not threading.current_thread() and not thread.daemon:
                    thread.join(10)
        assert told == [STOPPING]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    "text",
    [
        "unable to mmap 110248 bytes from file <best.safetensors>: Cannot allocate memory (12)",
        "FT_Open_Face (ft2font.cpp line 200) failed with error 0x55: invalid stream operation",
    ],
)
def test_what_libraries_say_without_memory_is_one_line(text: str) -> None:
    found = resource_error(RuntimeError(text))
    assert str(found) == f"out of memory: {text}; use less at a time"
    assert resource_error(RuntimeError("something else")) is None


LITTLE = """
import resource, sys
from asrbench.cli.app import app
(line,) = (line for line in open("/proc/self/status") if line.startswith("VmData"))
most = (int(line.split()[1]) + 100 * 1024) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
app(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits")
@pytest.mark.parametrize(("command", "status"), [("models", 2), ("doctor", 2), ("--version", 0)])
def test_too_little_memory_to_begin_is_one_line(command: str, status: int) -> None:
    """Of 100 MiB; torch crashes while it is loaded with as little."""
    done = subprocess.run(
        [sys.executable, "-c", LITTLE, command], capture_output=True, text=True, env=WITH_ROOTS
    )
    assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == (status == 2)
    if command == "models":
        assert done.stderr.startswith("error: out of memory: this process may not take 256 MiB")


def test_evaluations_at_the_same_time_all_leave_their_scores(tmp_path: Path) -> None:
    run = Run(tmp_path)
    writers = [Process(target=write_many, args=(run, name)) for name in ("a", "b", "c")]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert {split: len(found) for split, found in run.scores().items()} == dict.fromkeys("abc", 5)


def write_many(run: Run, split: str) -> None:
    figures = score(["abc"], ["abd"]).plain()
    for number in range(5):
        run.write_scores(split, f"search{number}", figures)


PRINTS = """
import sys, time
from pathlib import Path
import typer
from rich.console import Console
from asrbench.cli.output import lasting_output
with lasting_output():
    print("first", flush=True)
    sys.stdin.readline()
    print("x" * 10_000)
    typer.echo("y" * 10_000)
    Console().print("z" * 100)
    Path(sys.argv[1]).write_text("report")
"""


def test_a_command_whose_output_is_closed_says_so_and_finishes(tmp_path: Path) -> None:
    report = tmp_path / "report"
    with subprocess.Popen(
        [sys.executable, "-c", PRINTS, report],
        env=WITH_ROOTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout
        assert command.stdout.readline() == "first\n"
        command.stdout.close()
        command.stdout = None
        _, said = command.communicate("\n")
    assert said == "standard output was closed; the command goes on without it\n"
    assert command.returncode == 0
    assert report.read_text() == "report"
