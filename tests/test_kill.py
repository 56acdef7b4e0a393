"""A run that was killed by SIGKILL and resumed has the weights of a run that was never stopped.

One process imports torch and forks a child for each family; the child trains, with a checkpoint
after every step, and kills itself in the middle of an epoch.
"""

import random
import subprocess
import sys
from pathlib import Path

from tones import cell_of, chance_for, same_weights, sets_for, trained

from asrbench.base.files import strays
from asrbench.experiment.registry import MODELS
from asrbench.experiment.run_folder import Run

SETS = (
    "train.epochs=3",
    "train.weights={kind: average, epochs: 2}",
    "run.checkpoint_minutes=1e-6",
)
STEPS_AN_EPOCH = 3

PROGRAM = """
import os, signal, sys
from pathlib import Path
from asrbench.training.setup import set_up
from asrbench.experiment.spec import Cell
from asrbench.training.loop import train

class KillsAfter:
    def __init__(self, steps):
        self.left = steps
    def say(self, line):
        pass
    def progress(self, task, done, total, note=""):
        self.left -= task.startswith("epoch")
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)

for spec, results, steps in zip(*[iter(sys.argv[1:])] * 3):
    if not (child := os.fork()):
        cell = Cell.model_validate_json(Path(spec).read_text())
        train(set_up(cell, Path(results)), KillsAfter(int(steps)))
        sys.exit()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


KILLED_WHILE_WRITING = """
import os, sys
from pathlib import Path
from asrbench.base.files import atomic
with atomic(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"cut short")
    os._exit(9)
"""


def test_killed_at_a_random_step_and_resumed_equals_never_stopped(
    tmp_path: Path, corpus: Path
) -> None:
    draw = random.Random(0)
    cells, arguments = {}, []
    for name in MODELS:
        cells[name] = cell_of(tmp_path, corpus, *SETS, *sets_for(name), *chance_for(name))
        spec = tmp_path / f"{name}.json"
        spec.write_text(cells[name].model_dump_json())
        # Never at the first step of an epoch: the last checkpoint is from the middle of one.
        steps = draw.choice([1, 2]) * STEPS_AN_EPOCH + draw.randint(2, STEPS_AN_EPOCH)
        arguments += [str(spec), str(tmp_path / "killed"), str(steps)]
    subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True)
    for name, cell in cells.items():
        (run,) = Run.find([tmp_path / "killed" / "tiny" / name])
        assert 1 <= len(run.history()) < 3
        assert run.state_paths()
        best = run.folder / "checkpoints/best.safetensors"
        subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(best)], check=False)
        assert strays(best.parent)
        whole, resumed = trained(cell, tmp_path / "whole"), trained(cell, tmp_path / "killed")
        for which in ("last", "best", "average"):
            assert same_weights(whole, resumed, which), f"{name}: {which}"
        assert not list(run.folder.rglob("*.tmp-*"))
