"""The profiler looks at some steps and changes none."""

import gzip
import json
from pathlib import Path

import pytest
from tones import Heard, cell_of, same_weights, trained

from asrbench.training.loop import train
from asrbench.training.setup import set_up


@pytest.mark.parametrize(("warm_up", "recorded"), [(1, True), (2, True), (4, False)])
def test_a_trace_of_some_steps(
    warm_up: int, recorded: bool, tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the three there are, two are asked for after a warm-up that may leave fewer, or none."""
    monkeypatch.setattr("asrbench.training.profiling.WARM_UP", warm_up)
    monkeypatch.setattr("asrbench.training.profiling.STEPS", 2)
    cell = cell_of(tmp_path, corpus, "train.epochs=1")
    prepared, heard = set_up(cell, tmp_path / "results"), Heard()
    train(prepared, heard, profile=True)
    path = prepared.run.profile_path
    told = [line for line in heard.lines if line.startswith(f"wrote {path}")]
    assert len(told) == recorded
    assert path.is_file() == recorded
    if recorded:
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
        names = [event.get("name", "") for event in events]
        steps = {name for name in names if name.startswith("ProfilerStep#")}
        assert steps == {f"ProfilerStep#{n}" for n in range(warm_up, warm_up + 2)}
        assert any(name.startswith("aten::_ctc_loss") for name in names)
    assert not list(prepared.run.folder.rglob("*.tmp-*"))
    assert same_weights(trained(cell, tmp_path / "plain"), prepared.run)
