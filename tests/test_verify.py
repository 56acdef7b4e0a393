"""`asrbench verify` on runs and a corpus made by the commands, whole and damaged in every way."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

from asrbench.cli.app import app
from asrbench.data.corpus_writer import SCHEMA, CorpusWriter, Utterance
from asrbench.experiment.run_folder import Run
from asrbench.scoring.score import score

RESULTS = Path(__file__).parents[1] / "results"


def call(*arguments: object) -> tuple[int, list[str], str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    return result.exit_code, result.stdout.splitlines(), result.stderr


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A copy to damage: the corpus, and in `results` the run of ds2."""
    for name in ("corpus", "results/tiny/ds2"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def run_of(home: Path) -> Path:
    (spec,) = (home / "results").rglob("spec.yaml")
    return spec.parent


def test_what_the_commands_make_has_no_fault(home: Path) -> None:
    code, out, err = call("verify", home / "results", home / "corpus")
    assert (code, err) == (0, "")
    assert out == ["1 run and 1 corpus checked, found no fault"]
    assert call("verify", home)[1] == out


def test_all_files_have_the_mode_of_the_umask(made: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    expected = (tmp_path / "plain").stat().st_mode
    files = [path for path in (made / "results").rglob("*") if path.is_file()]
    assert {path.name: path.stat().st_mode for path in files} == {
        path.name: expected for path in files
    }


@pytest.mark.skipif(not RESULTS.is_dir(), reason="the checkout holds no results")
def test_committed_results_have_no_fault() -> None:
    code, out, _ = call("verify", RESULTS)
    assert code == 0, out


# Damage of content. Each function damages the folder of a run.


def change_json(path: Path, change: Callable[[Any], None]) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    change(found)
    path.write_text(json.dumps(found), encoding="utf-8")


def better_score(run: Path) -> None:
    change_json(run / "scores.json", lambda s: s["test"]["greedy"].update(cer=0.0))


def hypothesis_made_better(run: Path) -> None:
    path = run / "hypotheses.test.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["hypothesis"] = rows[0]["reference"] + "c"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def reference_made_easier(run: Path) -> None:
    """Also counts the scores again, so that they agree."""
    path = run / "hypotheses.test.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["reference"] = "abc"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    references, hypotheses = ([row[key] for row in rows] for key in ("reference", "hypothesis"))
    counted = score(references, hypotheses).plain()
    change_json(run / "scores.json", lambda s: s["test"]["greedy"].update(counted))


def hypothesis_removed(run: Path) -> None:
    path = run / "hypotheses.test.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n")


def hypotheses_gone(run: Path) -> None:
    (run / "hypotheses.test.jsonl").unlink()


def scores_gone(run: Path) -> None:
    (run / "scores.json").unlink()


def scores_of_another_form(run: Path) -> None:
    (run / "scores.json").write_text('{"test": 3}')


def sounds_of_another_form(run: Path) -> None:
    change_json(run / "env.json", lambda env: env.update(sounds=[3]))


def sound_without_fingerprint(run: Path) -> None:
    change_json(run / "env.json", lambda env: env.update(sounds={"noise": {}}))


def spec_changed(run: Path) -> None:
    path = run / "spec.yaml"
    path.write_text(path.read_text().replace("lr: 0.01", "lr: 0.02"))


def spec_gone(run: Path) -> None:
    shutil.copytree(run, run.with_name("seed7-01234567"))
    (run.with_name("seed7-01234567") / "spec.yaml").unlink()


def spec_cut(run: Path) -> None:
    path = run / "spec.yaml"
    path.write_text(path.read_text()[:100])


def folder_renamed(run: Path) -> None:
    run.rename(run.with_name("seed0-01234567"))


def corpus_changed(run: Path) -> None:
    change_json(run / "env.json", lambda env: env.update(fingerprint="0" * 16))


def epoch_removed(run: Path) -> None:
    path = run / "history.jsonl"
    path.write_text(path.read_text().splitlines()[1] + "\n")


def epoch_repeated(run: Path) -> None:
    path = run / "history.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")


def weights_of_another_epoch(run: Path) -> None:
    path = run / "checkpoints" / "last.safetensors"
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["asrbench"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(weights, path, {"asrbench": json.dumps(about | {"epoch": 1})})


def weights_cut(run: Path) -> None:
    path = run / "checkpoints" / "best.safetensors"
    path.write_bytes(path.read_bytes()[:50])


def weights_flipped(run: Path) -> None:
    path = run / "checkpoints" / "best.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def state_damaged(run: Path) -> None:
    (run / "checkpoints" / f"state-5-{16 * '0'}.pt").write_bytes(b"cut short")


RUN_DAMAGE = {
    better_score: "found cer 0.0, the hypotheses give",
    hypothesis_made_better: "found characters",
    reference_made_easier: "u8: found the reference 'abc', ",
    hypothesis_removed: "found utterances 2, the hypotheses give 1",
    hypotheses_gone: "hypotheses.test.jsonl is missing",
    scores_gone: "has no figures in scores.json",
    scores_of_another_form: "scores.json, 'test': ",
    sounds_of_another_form: "env.json, 'sounds': found [3], allowed: an object",
    sound_without_fingerprint: "env.json, 'sounds.noise.fingerprint': missing",
    spec_changed: "spec.yaml, env.json or the name was changed",
    spec_cut: "spec.yaml",
    spec_gone: "seed7-01234567: has no spec.yaml",
    folder_renamed: "spec.yaml, env.json or the name was changed",
    corpus_changed: "found the weights of another spec or corpus",
    epoch_removed: "history.jsonl, line 1: found epoch 2, allowed: 1",
    epoch_repeated: "history.jsonl, line 3: found epoch 2, allowed: 3",
    weights_of_another_epoch: "last.safetensors: found the weights of epoch 1, history.jsonl says",
    weights_cut: "best.safetensors: found no weights",
    weights_flipped: "best.safetensors: is damaged, its content does not have its digest",
    state_damaged: "is damaged: found digest",
}


@pytest.mark.parametrize("damage", RUN_DAMAGE, ids=lambda each: each.__name__)
def test_damage_of_a_run_is_found_and_never_repaired(
    home: Path, damage: Callable[[Path], None]
) -> None:
    damage(run_of(home))
    before = {path: path.is_file() and path.read_bytes() for path in home.rglob("*")}
    for options in ([], ["--repair"]):
        code, out, err = call("verify", home / "results", *options)
        assert code == 2
        assert any(RUN_DAMAGE[damage] in line for line in out), out
        assert err.startswith("error: 1 run and 0 corpora checked, found ")
        assert {path: path.is_file() and path.read_bytes() for path in home.rglob("*")} == before


def test_history_that_differs_from_the_newest_state_is_found(home: Path) -> None:
    import torch

    from asrbench.base.files import digest

    run = run_of(home)
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    states = run / "checkpoints"

    def put_state(rows: list[Any]) -> None:
        torch.save({"identity": run.name, "history": rows}, states / "state-4-new.pt")
        new = states / "state-4-new.pt"
        new.rename(states / f"state-4-{digest(new)}.pt")

    put_state(history)
    assert call("verify", run)[0] == 0
    next(states.glob("state*")).unlink()
    # As a process leaves it that is killed after it saved a state, or some of its weights.
    put_state([*history, history[1] | {"epoch": 3, "steps": 9}])
    assert call("verify", run)[0] == 0
    (run / "history.jsonl").write_text(json.dumps(history[0]) + "\n")
    next(states.glob("state*")).unlink()
    put_state(history)
    assert call("verify", run)[0] == 0
    (run / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))
    next(states.glob("state*")).unlink()
    put_state([history[0], history[1] | {"dev_cer": 0.5}])
    code, out, _ = call("verify", run)
    assert code == 2
    assert "history.jsonl: differs from the history in state-4-" in out[0]


def test_copy_of_a_run_is_found(home: Path) -> None:
    run = run_of(home)
    shutil.copytree(run, home / "results" / "copy" / run.name)
    code, out, _ = call("verify", home / "results")
    assert code == 2
    assert [line for line in out if "is the same run as" in line]


def test_run_that_is_being_trained_is_not_checked(home: Path) -> None:
    run = Run(run_of(home))
    better_score(run.folder)
    with run.held():
        code, out, _ = call("verify", run)
        assert code == 0
        assert out[0] == f"{run}: not checked, because it is being trained"
    assert call("verify", run)[0] == 2


# Any damage of any file

ANYTHING = (b"", b"[]", b"3", b"null", b"{}", b"[1, 2]", b'{"a": 1}\n[]\n', b"\xff\xfe", b"a: [")
WITHOUT_COPY = {"excluded.jsonl", "env.json", "lock", "lock.scores"}
"""Files whose content nothing else says. That of `env.json` is said in part."""


def test_any_file_replaced_by_anything_is_a_fault_in_one_line(home: Path) -> None:
    files = [path for path in sorted(home.rglob("*")) if path.is_file()]
    assert len(files) > 10
    draw = random.Random(0)
    for path in files:
        whole = path.read_bytes()
        for content in (whole[: len(whole) // 2], *draw.sample(ANYTHING, 2)):
            if content == whole:
                continue
            path.write_bytes(content)
            code, out, err = call("verify", home)
            assert code == 2 or path.name in WITHOUT_COPY, (path, content[:20], out)
            assert code in (0, 2)
            assert len(err.splitlines()) == (code == 2)
        path.write_bytes(whole)
    assert call("verify", home)[0] == 0


# Corpora


def one_sample(corpus: Path) -> None:
    """Changes the last sample of a split, as a damaged disk does."""
    import pyarrow as pa

    path = corpus / "train.arrow"
    table = pa.ipc.open_file(path).read_all()
    audio = table.column("audio").to_pylist()
    audio[-1] = audio[-1][:-1] + bytes([audio[-1][-1] ^ 1])
    table = table.set_column(
        table.schema.get_field_index("audio"), SCHEMA.field("audio"), pa.array(audio, pa.binary())
    )
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def split_exchanged(corpus: Path) -> None:
    (corpus / "dev.arrow").rename(corpus / "x")
    (corpus / "test.arrow").rename(corpus / "dev.arrow")
    (corpus / "x").rename(corpus / "test.arrow")


def split_gone(corpus: Path) -> None:
    (corpus / "dev.arrow").unlink()


def split_cut(corpus: Path) -> None:
    path = corpus / "dev.arrow"
    path.write_bytes(path.read_bytes()[:300])


def count_changed(corpus: Path) -> None:
    change_json(corpus / "corpus.json", lambda about: about["splits"]["dev"].update(utterances=9))


def count_gone(corpus: Path) -> None:
    change_json(corpus / "corpus.json", lambda about: about["splits"]["dev"].pop("utterances"))


def list_changed(corpus: Path) -> None:
    (corpus / "rejected.jsonl").write_text("{}\n")


def file_added(corpus: Path) -> None:
    (corpus / "notes.txt").write_text("")


CORPUS_DAMAGE = {
    one_sample: "train.arrow: is damaged, its content does not have its digest",
    split_exchanged: "dev.arrow: is damaged, its content does not have its digest",
    split_gone: "dev.arrow: is missing",
    split_cut: "dev.arrow: is damaged, found 300 bytes",
    count_changed: "found 2 utterances in dev, corpus.json says 9",
    count_gone: "found 2 utterances in dev, corpus.json says None",
    list_changed: "rejected.jsonl: found 1 lines, corpus.json says 0",
    file_added: "notes.txt: is no part of a corpus",
}


@pytest.mark.parametrize("damage", CORPUS_DAMAGE, ids=lambda each: each.__name__)
def test_damage_of_a_corpus_is_found(home: Path, damage: Callable[[Path], None]) -> None:
    damage(home / "corpus")
    code, out, _ = call("verify", home / "corpus", "--repair")
    assert code == 2
    assert any(CORPUS_DAMAGE[damage] in line for line in out), out


def test_fingerprint_counts_columns_that_were_added_later(tmp_path: Path) -> None:
    with CorpusWriter.create(
        tmp_path / "toy", name="toy", recipe="test", source="-", text_profile="verbatim"
    ) as writer:
        for i, channel in enumerate(("near", None)):
            audio = np.arange(160, dtype=np.int16) + i
            writer.add("train", Utterance(f"u{i}", audio, "말", channel=channel))
    assert call("verify", tmp_path / "toy")[0] == 0


# What is left over

KILLED_IN_PREP = """
import os, sys
from pathlib import Path
from asrbench.base.files import atomic
from asrbench.base.folders import atomic_folder
with atomic_folder(Path(sys.argv[1]), replace=True) as folder:
    (folder / "train.arrow").write_text("half")
    with atomic(Path(sys.argv[2])) as temporary:
        os._exit(9)
"""


def test_repair_deletes_what_is_left_over_and_nothing_else(home: Path) -> None:
    run = run_of(home)
    whole = {path: path.is_file() and path.read_bytes() for path in home.rglob("*")}
    arguments = [sys.executable, "-c", KILLED_IN_PREP, str(home / "corpus"), str(run / "env.json")]
    assert subprocess.run(arguments, check=False).returncode == 9
    (run / "lock.holder").write_text("process 1 on elsewhere")
    code, out, _ = call("verify", home)
    assert code == 2
    assert len(out) == 3
    code, out, _ = call("verify", home, "--repair")
    assert code == 0
    assert out[-1] == "1 run and 1 corpus checked, found no fault; repaired 3"
    (run / "lock").unlink(missing_ok=True)
    whole.pop(run / "lock", None)
    assert {path: path.is_file() and path.read_bytes() for path in home.rglob("*")} == whole


def test_repair_moves_the_rest_of_a_report_whose_process_was_killed(home: Path) -> None:
    results, waits = home / "results", home / "results" / ".report.whole"
    (results / "table.md").write_text("new")
    waits.mkdir()
    (waits / "study.json").write_text("new")
    code, out, _ = call("verify", results)
    assert code == 2
    assert [*filter(lambda line: "making it was interrupted" in line, out)] == [
        f"{results / 'report'}: making it was interrupted; --repair completes or undoes it"
    ]
    code, out, _ = call("verify", results, "--repair")
    assert (code, out[-1]) == (0, "1 run and 0 corpora checked, found no fault; repaired 1")
    assert (results / "study.json").read_text() == "new"
    assert not waits.exists()


def test_folder_of_neither_is_refused(tmp_path: Path) -> None:
    code, _, err = call("verify", tmp_path)
    assert (code, err) == (2, f"error: {tmp_path}: found no run folder and no prepared corpus\n")
    assert os.listdir(tmp_path) == []
