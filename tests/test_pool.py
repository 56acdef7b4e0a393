"""Runs in parallel: a pool of processes, of which none harms another."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tones import Heard, same_weights
from typer.testing import CliRunner

from asrbench.base.reporting import Silent
from asrbench.cli.app import app
from asrbench.executors.executor import TimeBudget
from asrbench.executors.local import Parallel
from asrbench.executors.pool import Finished, Pool, failure_reason, machine_slots
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec_file import load_study
from asrbench.training.setup import set_up

PATIENCE_SECONDS = 300


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


# Any commands


def test_a_pool_runs_one_command_in_each_slot_and_says_how_it_ended(tmp_path: Path) -> None:
    log = tmp_path / "new" / "log"
    with Pool([{"SLOT": "0"}, {"SLOT": "1"}]) as pool:
        pool.start("ends", ["sh", "-c", "echo in $SLOT; read x; echo no input"], log)
        pool.start("fails", ["sh", "-c", "echo error: $SLOT; exit 2"], tmp_path / "fails")
        assert not pool.has_free_slot
        finished: list[Finished] = []
        wait_for(lambda: bool(finished.extend(pool.finished()) or len(finished) == 2))
        assert {each.name: each for each in finished} == {
            "ends": Finished("ends", 0, ""),
            "fails": Finished("fails", 2, "1"),
        }
        pool.start("again", ["sh", "-c", "echo bye; kill -9 $$"], log)
        assert pool.running == ["again"]
        wait_for(lambda: bool(finished.extend(pool.finished()) or len(finished) == 3))
    assert finished[-1].status == -signal.SIGKILL
    assert log.read_text() == "in 0\nno input\nbye\n"


def test_leaving_a_pool_ends_its_processes(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def broken() -> None:
        with Pool([{}]) as pool:
            pool.start("sleeps", ["sh", "-c", "echo $$; exec sleep 100"], log)
            wait_for(lambda: log.read_text().endswith("\n"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)


@pytest.mark.parametrize(
    ("status", "printed", "reason"),
    [
        (2, "epoch 1\nerror: no such thing\nbye\n", "no such thing"),
        (1, "Traceback\n  File\nZeroDivisionError: by nought\n\n", "ZeroDivisionError: by nought"),
        (3, "", "exit status 3"),
        (-9, "epoch 1\n", "killed by SIGKILL; the system does this when memory runs out"),
        (-11, "", "killed by SIGSEGV"),
    ],
)
def test_the_reason_of_a_failure(status: int, printed: str, reason: str) -> None:
    assert failure_reason(status, printed) == reason


def test_slots_share_gpus_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrbench.executors.pool.available", lambda: 7)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert machine_slots(2, []) == [{"OMP_NUM_THREADS": "3"}] * 2
    assert machine_slots(9, [])[0] == {"OMP_NUM_THREADS": "1"}
    gpus = [slot["CUDA_VISIBLE_DEVICES"] for slot in machine_slots(3, ["2", "GPU-5"])]
    assert gpus == ["2", "GPU-5", "2"]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert machine_slots(2, []) == [{"OMP_NUM_THREADS": "5"}] * 2


# A study

STUDY = """
name: tiny
corpus: {corpus}
features: {{bands: 20}}
augment: {{time_masks: 0, frequency_masks: 0}}
model: {{encoder: {{front_end: {{channels: 4}}, recurrence: {{layers: 1, width: 16}}}}}}
train: {{epochs: 2, batch_seconds: 3, precision: fp32, optimizer: {{lr: 1e-2}}}}
variants:
  endless: {{train: {{epochs: 100000}}}}
  wild: {{train: {{optimizer: {{lr: 1e38}}, schedule: {{kind: constant, warmup: 0}}}}}}
  plain:
  wide: {{model: {{encoder: {{recurrence: {{width: 24}}}}}}}}
"""


@pytest.fixture
def spec(tmp_path: Path, corpus: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.format(corpus=corpus))
    return path


def run_of(results: Path, variant: str) -> Run:
    (run,) = Run.find([results / "tiny" / variant])
    return run


def holder(results: Path, variant: str) -> int:
    """The process that trains it."""
    found: list[Path] = []
    wait_for(lambda: bool(found.extend((results / "tiny" / variant).glob("*/spec.yaml")) or found))
    return int(found[0].with_name("lock.holder").read_text().split()[1])


def test_a_study_goes_on_beside_a_run_that_diverges_and_one_that_is_killed(
    spec: Path, tmp_path: Path
) -> None:
    """And the other two come out as they do one after another."""
    parallel, alone = tmp_path / "parallel", tmp_path / "alone"
    killer = threading.Thread(
        target=lambda: os.kill(holder(parallel, "endless"), signal.SIGKILL), daemon=True
    )
    killer.start()
    command = ["train", str(spec), "--device", "cpu"]
    result = CliRunner().invoke(app, [*command, "--results", str(parallel), "--parallel", "2"])
    assert result.exit_code == 2
    assert result.stderr == "error: 2 of 4 runs failed, see above\n"
    table = result.stdout[result.stdout.index("variant") :]
    assert re.search(r"endless +seed 0 .* failed: killed by SIGKILL; the system", table)
    wild = r"wild +seed 0 +- +- .* failed: the (loss|gradient norm) is (nan|inf) at step"
    assert re.search(wild, table)
    for variant in ("plain", "wide"):
        run = run_of(parallel, variant)
        best = f"{100 * min(row['dev_cer'] for row in run.history()):.2f}"
        row = rf"{variant} +seed 0 +{best} +2/2 +\d+ s +{run.folder.name} +done *\n"
        assert re.search(row, table)
    assert "next: asrbench eval" in result.stdout
    for variant in ("plain", "wide"):
        run = run_of(parallel, variant)
        assert f"{run}: done, dev CER" in result.stdout
        assert "epoch 2/2" in run.log_path.read_text()
        CliRunner().invoke(app, [*command, "--results", str(alone), "--only", variant])
        assert same_weights(run, run_of(alone, variant))
    result = CliRunner().invoke(
        app, [*command, "--results", str(parallel), "--parallel", "2", "--only", "plain"]
    )
    assert result.exit_code == 0
    assert "started" not in result.stdout


def test_an_interrupt_is_passed_on_and_the_study_goes_on_later(spec: Path, tmp_path: Path) -> None:
    """SIGTERM reaches the parent alone; both its runs leave a state. One more never began."""
    results = tmp_path / "results"
    sets = ["--set", "seeds=[0, 1, 2]", "--only", "endless", "--parallel", "2"]
    command = [sys.executable, "-m", "asrbench", "train", spec, "--results", results, *sets]
    folders = results / "tiny" / "endless"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            wait_for(lambda: len(list(folders.glob("*/history.jsonl"))) == 2)
        finally:
            parent.terminate()
        out, _ = parent.communicate()
    assert parent.returncode == 130
    assert "stopped: 3 of 3 runs are left (" in out
    assert out.endswith("); run the same command again to continue\n")
    runs = Run.find([folders])
    assert len(runs) == 2
    assert all(run.state_paths() for run in runs)
    assert not any((run.folder / "lock.holder").exists() for run in runs)


def test_runs_share_the_time(spec: Path, tmp_path: Path) -> None:
    """Two minutes of three have passed: each run gets the minute that is left. When no time is
    left, only the first run is started, so that every start makes some progress."""
    setups = [set_up(cell, tmp_path) for cell in load_study(spec).cells[2:]]
    command = [sys.executable, "-c", "import sys; print(sys.argv)"]

    def parallel(max_hours: float) -> Parallel:
        return Parallel(TimeBudget(max_hours, clock=lambda: 120.0), command, 2)

    outcome = parallel(0.05).run(setups, Silent())
    assert outcome.left == [each.run for each in setups]
    for each in setups:
        assert f"'{each.cell.variant}', '--seed', '0', '--max-hours', '0.016" in (
            each.run.log_path.read_text()
        )
    heard = Heard()
    parallel(0.01).run(setups, heard)
    assert [line for line in heard.lines if "started" in line] == [
        f"{setups[0].run}: started (1 of 2)"
    ]
