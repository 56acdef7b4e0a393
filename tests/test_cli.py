"""The commands as a user meets them: help, README, one-line errors, and the whole road."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from doors import error, run
from tones import TEXTS
from typer.testing import CliRunner

import asrbench
from asrbench.cli.app import app
from asrbench.cli.evaluate import score_lines
from asrbench.data.corpus import FORMAT
from asrbench.experiment.run_folder import Run
from asrbench.scoring.edit_counts import ErrorCounts
from asrbench.scoring.score import Score
from asrbench.stages.evaluate import Evaluation
from asrbench.text.profiles import PROFILES

ROOT = Path(__file__).parents[1]


def commands() -> list[tuple[str, typer.core.TyperCommand]]:
    """Every command by its full name, those of `prep` included."""
    found = []
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        subcommands = getattr(command, "commands", None)
        if subcommands is None:
            found.append((name, command))
        else:
            found += [(f"{name} {sub}", each) for sub, each in subcommands.items()]
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
def test_every_command_and_option_has_help_and_every_command_is_on_its_page(
    name: str, command: typer.core.TyperCommand
) -> None:
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name} {parameter.name}"
    # `asrbench prep --help` lists the recipes, so a new one needs no line on the page.
    if not name.startswith("prep "):
        assert f"asrbench {name}" in (ROOT / "docs/commands.md").read_text(encoding="utf-8")


def test_help_lists_the_commands_in_the_order_of_the_road() -> None:
    road = "prep corpus init plan train lm eval inspect compare verify models check"
    road += " transcribe export score schema doctor"
    _, out, _ = run("--help")
    assert re.findall(r"^\W*([a-z]+)  +[A-Z]", out[out.index("Commands") :], re.M) == road.split()


def test_version() -> None:
    assert run("--version") == (0, f"asrbench {asrbench.__version__}\n", "")


@pytest.mark.parametrize("command", [(), ("train",), ("prep",), ("prep", "an4")])
def test_h_is_help(command: tuple[str, ...]) -> None:
    assert run(*command, "-h") == run(*command, "--help")
    assert run(*command, "-h")[0] == 0


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("asrbench tr", ["train", "transcribe"]),
        ("asrbench prep z", ["zeroth"]),
        ("asrbench train --max", ["--max-hours"]),
        ("asrbench prep an4 --fo", ["--force"]),
    ],
)
def test_the_shell_completes(words: str, completed: list[str]) -> None:
    """The script that `--show-completion` prints for bash sets these variables."""
    variables = {
        "_ASRBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = CliRunner().invoke(app, [], env=variables, prog_name="asrbench")
    assert done.stdout.split() == completed


def test_completion_for_a_shell() -> None:
    """Started as a module too, the script is that of the command `asrbench`."""
    command = [sys.executable, "-m", "asrbench", "--show-completion", "bash"]
    disabled = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | disabled)
    assert done.returncode == 0, done.stderr
    assert "_ASRBENCH_COMPLETE=complete_bash" in done.stdout
    assert done.stdout.rstrip().endswith(" asrbench")


def test_help_loads_no_torch() -> None:
    program = (
        "import sys, runpy; sys.argv = ['asrbench', '--help']\n"
        "try:\n    runpy.run_module('asrbench', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'pydantic', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "transcribe" in done.stdout


# The whole road


def test_train_again_says_done(made: Path) -> None:
    code, out, _ = run("train", made / "tiny.yaml", "--results", made / "results")
    assert code == 0
    *runs, following = out.splitlines()
    assert [line.rpartition(": ")[2] for line in runs[:2]] == ["done", "done"]
    assert runs[2].startswith("Runs in ")
    assert following == f"next: asrbench eval {made / 'results/tiny'}"


def test_a_set_that_a_variant_has_no_key_for_is_said(made: Path) -> None:
    """On standard error: the output of `--print-config` is YAML."""
    sets = ("--set", "model.head.decoder.layers=2", "--print-config")
    code, out, err = run("train", made / "tiny.yaml", *sets)
    assert (code, err) == (
        0,
        "note: --set model.head.decoder.layers=2: not applied to ds2, which has no such key\n",
    )
    baseline, crossattn = yaml.safe_load_all(out)
    assert "decoder" not in baseline["model"]["head"]
    assert crossattn["model"]["head"]["decoder"]["layers"] == 2


def test_a_run_without_its_weights_says_so(made: Path, tmp_path: Path) -> None:
    """As in a clone of a repository that holds results: `train` must not promise what is gone."""
    spec = made / "tiny.yaml"
    assert run("train", spec, "--only", "ds2", "--results", tmp_path, "--device", "cpu")[0] == 0
    (folder,) = (tmp_path / "tiny/ds2").iterdir()
    (folder / "checkpoints/best.safetensors").unlink()
    code, out, _ = run("train", spec, "--only", "ds2", "--results", tmp_path, "--device", "cpu")
    assert code == 0
    assert "done, but its weights are missing; give another --results, or delete" in out
    code, out, err = run("eval", folder)
    assert code == 2
    assert (
        f"{folder}: skipped, its weights, best.safetensors of epoch 1, are missing; restore the "
        in out
    )
    assert err == f"error: {folder}: found no run to evaluate; `asrbench train` makes weights\n"


def test_eval_leaves_every_reference_and_hypothesis_and_the_figures(made: Path) -> None:
    (scores,) = (made / "results/tiny/ds2").glob("*/scores.json")
    figures = json.loads(scores.read_text())["test"]["greedy"]
    assert figures["characters"]["n"] == len(TEXTS[0]) + len(TEXTS[1])
    assert figures["utterances"] == 2
    assert figures["real_time_factor"] > 0
    rows = [
        json.loads(line)
        for line in (scores.parent / "hypotheses.test.jsonl").read_text().splitlines()
    ]
    assert [(row["id"], row["reference"]) for row in rows] == [("u8", TEXTS[0]), ("u9", TEXTS[1])]


@pytest.mark.parametrize("decode", ["attention", "joint"])
def test_the_decoder_decodes_and_the_baseline_is_left_out(
    made: Path, tmp_path: Path, decode: str
) -> None:
    results = shutil.copytree(made / "results", tmp_path / "results")
    code, out, _ = run("eval", results, "--split", "dev", "--decode", decode)
    assert code == 0
    assert f"skipped, it has no --decode {decode}, only greedy, beam\n" in out
    told = re.search(rf"dev {decode}\n  CER .* N 7, verbatim/1\)\n  WER .* \(N 2\)  RTF ", out)
    assert told, out
    assert list((results / "tiny/ds2_crossattn").glob(f"*/hypotheses.dev.{decode}.jsonl"))


def test_compare_prints_and_writes(made: Path, tmp_path: Path) -> None:
    code, out, _ = run("compare", made / "results", "--out", tmp_path)
    assert code == 0
    assert "N = 7 characters, profile verbatim/1" in " ".join(out.split())
    assert "ds2_crossattn" in out
    names = {path.name for path in tmp_path.iterdir()}
    assert {"table.md", "table.csv", "table.tex", "study.json", "report.html"} <= names


def test_compare_under_another_profile(made: Path, tmp_path: Path) -> None:
    code, out, _ = run("compare", made / "results", "--profile", "espnet", "--out", tmp_path)
    assert code == 0
    assert "N = 7 characters, profile espnet/1" in " ".join(out.split())
    assert "checkpoints were chosen by dev CER under verbatim/1, not under espnet/1" in out


@pytest.mark.parametrize("command", ["eval", "transcribe"])
def test_a_search_that_no_run_has(made: Path, command: str) -> None:
    (folder,) = (made / "results/tiny/ds2_crossattn").iterdir()
    files = [made / "0.wav"] if command == "transcribe" else []
    line = error(command, folder, *files, "--decode", "best")
    assert "--decode: found 'best', allowed: greedy, beam, attention, attention_beam, joint" in line
    (baseline,) = (made / "results/tiny/ds2").iterdir()
    line = error(command, baseline, *files, "--decode", "joint")
    assert line.endswith("--decode: found 'joint', allowed: greedy, beam")


def test_the_scores_of_korean_fit_80_columns() -> None:
    """The size of KsponSpeech's `other` split, with nothing right."""
    wrong = {"substitutions": 99_999, "deletions": 99_999, "insertions": 99_999}
    counts, jamo = ErrorCounts(**wrong, n=99_999), ErrorCounts(**wrong, n=299_999)
    evaluation = Evaluation(
        Run(Path("run")),
        "test",
        "greedy",
        Score(
            "kospeech/1",
            utterances=1,
            characters=counts,
            jamo=jamo,
            words=counts,
            spaced_words=counts,
        ),
        unknown_symbols=9_999,
        real_time_factor=9.9999,
    )
    lines = score_lines(evaluation)
    assert lines == [
        "CER 300.00 % (S 99,999 D 99,999 I 99,999 N 99,999, kospeech/1)",
        "WER 300.00 %  sWER 300.00 % (N 99,999)  jamo 100.00 % (N 299,999)  RTF 10.000",
        "9,999 symbols of the references are unknown to the model",
    ]
    assert max(map(len, lines)) <= 78


def test_transcribe_prints_a_line_a_file(made: Path) -> None:
    (folder,) = (made / "results/tiny/ds2").iterdir()
    files = [made / "0.wav", made / "1.wav"]
    code, out, _ = run("transcribe", folder, *files)
    assert code == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == [str(f) for f in files]


def test_print_config_and_dry_run_create_nothing(made: Path, tmp_path: Path) -> None:
    code, out, _ = run("train", made / "tiny.yaml", "--print-config", "--only", "ds2")
    assert code == 0
    assert "time_stride: 2" in out
    code, out, _ = run("train", made / "tiny.yaml", "--dry-run", "--results", tmp_path / "none")
    assert code == 0
    assert "0/2 epochs" in out
    assert not (tmp_path / "none").exists()


def test_models_lists_the_registry() -> None:
    code, out, _ = run("models")
    assert code == 0
    for name in ("ds2", "ds2_selfattn", "ds2_crossattn", "ds2_selfattn_deck"):
        assert re.search(rf"^ *{name} ", out, re.MULTILINE)


def test_score_counts_by_hand(tmp_path: Path) -> None:
    """`abc d` heard as `abd`: c and the space are gone, 2 D of 5 + 2 characters; of its two words
    one is wrong and one gone, 1 S and 1 D of 2 + 1 words."""
    (tmp_path / "ref.trn").write_text("abc d (u1)\nxy (u2)\n")
    (tmp_path / "hyp.tsv").write_text("u1\tabd\nu2\txy\n")
    code, out, _ = run("score", "--ref", tmp_path / "ref.trn", f"base={tmp_path / 'hyp.tsv'}")
    assert code == 0
    assert re.search(r"base +CER +28\.57 +0 +2 +0 +7", out)
    assert re.search(r"base +WER +66\.67 +1 +1 +0 +3", out)
    assert "jamo" not in out


@pytest.mark.parametrize(
    ("profile", "rows"),
    [
        ("verbatim", ["CER 21.43 1 2 0 14", "jamo 12.00 1 2 0 25", "WER 50.00 2 0 0 4"]),
        ("nospace", ["CER 11.11 1 0 0 9", "jamo 5.00 1 0 0 20", "WER 25.00 1 0 0 4"]),
        ("kospeech", ["CER 27.27 1 2 0 11", "jamo 13.64 1 2 0 22", "WER 50.00 2 0 0 4"]),
        ("espnet", ["CER 8.33 1 0 0 12", "jamo 4.35 1 0 0 23", "sWER 25.00 1 0 0 4"]),
    ],
)
def test_score_under_each_profile(profile: str, rows: list[str], tmp_path: Path) -> None:
    """One syllable is wrong by its last jamo, and two marks are missing, so that of four words two
    are wrong, or one."""
    (tmp_path / "ref.tsv").write_text("u\t어제 비가 왔어요. 진짜?\n", encoding="utf-8")
    (tmp_path / "hyp.tsv").write_text("u\t어제 비가 왓어요 진짜\n", encoding="utf-8")
    command = ("score", "--ref", tmp_path / "ref.tsv", "--profile", profile)
    code, out, _ = run(*command, f"s={tmp_path / 'hyp.tsv'}")
    assert code == 0
    assert str(PROFILES[profile]) in out
    for row in rows:
        assert re.search(rf"s +{' +'.join(map(re.escape, row.split()))} ", out), out


def test_score_without_a_character_to_count(tmp_path: Path) -> None:
    (tmp_path / "ref.tsv").write_text("u\t?!\n", encoding="utf-8")
    command = ("score", "--ref", tmp_path / "ref.tsv", "--profile", "nospace")
    assert error(*command, f"s={tmp_path / 'ref.tsv'}") == (
        f"{tmp_path / 'ref.tsv'}: found no character in the references under nospace/2; "
        f"a CER needs at least one"
    )


# Errors, word for word


def test_bad_specs(made: Path, tmp_path: Path) -> None:
    tiny = made / "tiny.yaml"
    assert error("train", tiny, "--set", "train.epoch=3") == (
        "--set train.epoch: found an unknown key, allowed: accumulate, batch_seconds, epochs, "
        "freeze, max_hours, optimizer, precision, schedule, share, stop_if_stuck, weights; did you "
        "mean 'epochs'?"
    )
    assert error("train", tiny, "--only", "ds3") == (
        f"{tiny}: --only: found 'ds3', allowed: ds2, ds2_crossattn; did you mean 'ds2'?"
    )
    results = tmp_path / "results"
    assert error("train", tiny, "--set", f"corpus={tmp_path}", "--results", results) == (
        f"corpus: {tmp_path} is no prepared corpus; make it with "
        f"`asrbench prep RECIPE SOURCE --out {tmp_path}`, or say where it is with --set corpus=DIR"
    )
    assert not results.exists()


def test_a_file_where_a_folder_should_be(made: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    line = error("train", made / "tiny.yaml", "--only", "ds2", "--results", blocked)
    assert line.startswith(f"{blocked / 'tiny/ds2'}")
    assert "cannot be made (" in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_corpus_of_another_format_version(made: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus.json").write_text('{"format": 99}')
    assert error("train", made / "tiny.yaml", "--set", f"corpus={tmp_path}") == (
        f"{tmp_path / 'corpus.json'}: found format 99, allowed: {FORMAT}; prepare the corpus "
        f"again with `asrbench prep`"
    )


def test_a_checkpoint_of_another_spec(made: Path, tmp_path: Path) -> None:
    (folder,) = (made / "results/tiny/ds2").iterdir()
    copy = tmp_path / folder.name
    (copy / "checkpoints").mkdir(parents=True)
    (copy / "checkpoints/best.safetensors").write_bytes(
        (folder / "checkpoints/best.safetensors").read_bytes()
    )
    spec = (folder / "spec.yaml").read_text().replace("epochs: 2", "epochs: 3")
    (copy / "spec.yaml").write_text(spec)
    line = error("eval", copy)
    assert line.startswith(f"{copy / 'checkpoints/best.safetensors'}: found the weights of another")
    assert line.endswith("train it again")


def test_a_wav_that_is_no_audio(made: Path, tmp_path: Path) -> None:
    (folder,) = (made / "results/tiny/ds2").iterdir()
    (tmp_path / "a.wav").write_text("no audio at all")
    line = error("transcribe", folder, tmp_path / "a.wav")
    assert line.startswith(f"{tmp_path / 'a.wav'}: unreadable")


def test_hypotheses_whose_ids_do_not_match(tmp_path: Path) -> None:
    ids = [f"u{i}" for i in range(5)]
    (tmp_path / "ref.trn").write_text("".join(f"a ({i})\n" for i in ids))
    (tmp_path / "hyp.trn").write_text("a (x)\na (u0)\n")
    assert error("score", "--ref", tmp_path / "ref.trn", f"s={tmp_path / 'hyp.trn'}") == (
        f"{tmp_path / 'hyp.trn'}: found 2 utterances for 5 references: "
        f"4 missing (u1, u2, u3, ...), 1 unknown (x)"
    )
    assert error("score", "--ref", tmp_path / "ref.trn", "hyp.trn") == (
        "hyp.trn: found no NAME=HYP, as in base=hypotheses.trn"
    )


def test_prep_leaves_nothing_behind_when_it_refuses(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert error("prep", "table", made / "gone.tsv", "--out", out).endswith("no such file")
    assert error("prep", "table", made / "tones.tsv", "--out", out, "--split", "1/2") == (
        "--split: found '1/2', allowed: 3 numbers, as 0.8/0.1/0.1"
    )
    assert error("prep", "table", made / "tones.tsv", "--out", made / "corpus") == (
        f"{made / 'corpus'}: exists already; choose another --out, or --force"
    )
    inner = tmp_path / "new" / "a" / "b"
    assert error("prep", "table", made / "gone.tsv", "--out", inner).endswith("no such file")
    assert not list(tmp_path.iterdir())
    blocked = made / "tones.tsv" / "x"
    assert error("prep", "table", made / "tones.tsv", "--out", blocked).startswith(
        f"{made / 'tones.tsv'}: cannot be made ("
    )


def test_corpora_that_cannot_be_read(made: Path, tmp_path: Path) -> None:
    spec, folder = made / "tiny.yaml", tmp_path / "corpus"
    shutil.copytree(made / "corpus", folder)
    whole = (folder / "train.arrow").read_bytes()
    for broken in (b"", whole[: len(whole) // 2]):
        (folder / "train.arrow").write_bytes(broken)
        line = error("train", spec, "--set", f"corpus={folder}", "--results", tmp_path / "r")
        assert line.startswith(f"{folder / 'train.arrow'}: is damaged, found {len(broken):,} bytes")
        assert line.endswith("prepare the corpus again, or restore the file")
    (folder / "corpus.json").write_text(f'{{"format": {FORMAT}}}')
    line = error("train", spec, "--set", f"corpus={folder}", "--results", tmp_path / "r")
    assert line == f"{folder / 'corpus.json'}, 'name': missing; prepare the corpus again"
    assert not (tmp_path / "r").exists()


def test_a_bug_keeps_its_traceback(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("asrbench.stages.compare.study.analysis_of", broken)
    result = CliRunner().invoke(app, ["compare", str(made / "results")])
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (
            errno.ENOSPC,
            "out/table.md: No space left on device; make room, or choose another place",
        ),
        (
            errno.EMFILE,
            "out/table.md: Too many open files; raise the limit for open files (ulimit -n)",
        ),
        (
            errno.EACCES,
            "out/table.md: Permission denied; choose a place that is yours, or change its rights",
        ),
    ],
)
def test_what_the_disk_refuses_is_one_line(
    made: Path, monkeypatch: pytest.MonkeyPatch, number: int, line: str
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number), "out/table.md")

    monkeypatch.setattr("asrbench.stages.compare.study.analysis_of", refused)
    assert error("compare", made / "results") == line


def test_a_study_that_is_out_of_time_says_what_is_left_and_goes_on(
    made: Path, tmp_path: Path
) -> None:
    command = ("train", made / "tiny.yaml", "--results", tmp_path / "r")
    code, out, err = run(*command, "--max-hours", "1e-9")
    assert (code, err) == (0, "")
    (begun,) = (tmp_path / "r/tiny").iterdir()
    assert begun.name == "ds2"
    *lines, last = out.splitlines()
    assert any("the time is up, stopped in epoch 1 after batch 1 of" in line for line in lines)
    assert last.startswith("the time is up: 2 of 2 runs are left (")
    assert last.endswith("); run the same command again to continue")
    code, out, _ = run(*command)
    assert code == 0
    assert "continues at epoch 1, batch 2" in out
    assert out.splitlines()[-1].startswith("next: asrbench eval")


def test_a_limit_that_is_none(made: Path, tmp_path: Path) -> None:
    command = ("train", made / "tiny.yaml", "--results", tmp_path / "r")
    assert error(*command, "--max-hours", "0") == "--max-hours: found 0, allowed: more than 0"
    assert error(*command, "--max-hours", "inf").endswith(
        "found inf, allowed: more than 0 and finite"
    )
    assert error(*command, "--set", "train.max_hours=0").startswith(
        "--set train.max_hours: found 0"
    )
    assert not (tmp_path / "r").exists()


def test_a_path_that_no_file_can_have_is_one_line(made: Path, tmp_path: Path) -> None:
    line = error("corpus", "a" * 300)
    assert line == f"{'a' * 300}/corpus.json: File name too long; choose a shorter name"
    (tmp_path / "circle").symlink_to("circle")
    out = tmp_path / "circle" / "made"
    assert "circle" in error("prep", "table", made / "tones.tsv", "--out", out)
    for margin in ("nan", "inf"):
        assert error("compare", made / "results", "--margin", margin, "--json") == (
            f"--margin: found {margin}, allowed: a number of points above zero"
        )


@pytest.mark.parametrize(
    "fault",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: x"),
        RuntimeError("can't start new thread"),
        ImportError("libopenblas.so: cannot map zero-fill pages"),
        RuntimeError("could not create a primitive"),
        SystemError("error return without exception set"),
    ],
)
def test_lack_of_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    def full(*_: object) -> None:
        raise fault

    monkeypatch.setattr("asrbench.data.corpus.Corpus.open", full)
    assert error("corpus", "anywhere").startswith("out of memory: ")


def test_a_deleted_working_directory_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert error("models") == "the working directory was deleted; change to another one"


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_standard_streams_may_be_closed(tmp_path: Path, closed: tuple[int, ...]) -> None:
    """A file that is opened does not get their numbers either."""
    (tmp_path / "a.wav").write_bytes(b"")
    (tmp_path / "list.tsv").write_text("audio\ttext\na.wav\ta\n")
    command = f"exec {sys.executable} -m asrbench prep table list.tsv --out c "
    redirected = command + " ".join(f"{number}>&-" for number in closed)
    done = subprocess.run(["sh", "-c", redirected], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    line = "error: list.tsv: no usable utterance (rejected: 1 empty file); the first: a.wav\n"
    assert done.stderr.endswith("" if 2 in closed else line)
    assert not (tmp_path / "c").exists()


def test_a_text_that_the_output_cannot_show_is_escaped(tmp_path: Path) -> None:
    """A name that is not UTF-8, and Korean on a terminal of Latin-1."""
    folder = tmp_path / os.fsdecode(b"\xff\xfe")
    for name in (folder, tmp_path / "말"):
        done = subprocess.run(
            [sys.executable, "-m", "asrbench", "corpus", str(name)],
            capture_output=True,
            env=os.environ | {"PYTHONIOENCODING": "latin-1"},
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.count(b"\n") == 1
        assert done.stderr.startswith(b"error: ")
        assert b"\\u" in done.stderr
