"""`asrbench score` as a user meets it."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from scored_runs import leave
from typer.testing import CliRunner

from asrbench.base.files import read_jsonl, write_jsonl
from asrbench.cli.app import app

REFERENCES = ["abcd"] * 7 + ["abce"]
BASE = ["abxd"] * 6 + ["abcd", "abce"]
NEW = ["abxd"] + ["abcd"] * 6 + ["abce"]
"""As in test_stats_comparison, which derives what is to be expected of them."""


def run(*arguments: object) -> tuple[int, str, str]:
    words = ["score", *map(str, arguments)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def error(*arguments: object) -> str:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    return line.removeprefix("error: ")


def document(*arguments: object) -> dict:
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    return json.loads(out)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, texts in {"ref": REFERENCES, "a": BASE, "b": NEW}.items():
        lines = [f"{text} (s{i % 4}-u{i})\n" for i, text in enumerate(texts)]
        (tmp_path / f"{name}.trn").write_text("".join(lines))
    (tmp_path / "c.trn").write_text((tmp_path / "b.trn").read_text())
    return tmp_path


def compare_of(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["compare", *arguments, "--json"], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def systems(files: Path, *named: str) -> list[object]:
    """`base=a` as `base=<folder>/a.trn`, after the references."""
    pairs = [each.split("=") for each in named]
    return ["--ref", files / "ref.trn", *(f"{name}={files / path}.trn" for name, path in pairs)]


RUN = {
    "rate": 6 / 32,
    "cer": 6 / 32,
    "wer": 6 / 8,
    "swer": 6 / 8,
    "jer": 6 / 32,
    "substitutions": 6,
    "deletions": 0,
    "insertions": 0,
    "n": 32,
    "failure": None,
}


def rounded(value: object) -> object:
    """Floats to ten digits, so that a golden document can be written by hand."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.10g}") if isinstance(value, float) else value


def test_json_whole(files: Path) -> None:
    """Every key and every figure that is exact; those of the bootstrap by what they must be."""
    found = document(*systems(files, "base=a", "new=b"))
    base, new = found["systems"]
    difference = new["difference"]
    drawn = [(system.pop("interval"), system["cer"]) for system in (base, new)]
    judgement = new["judgement"]
    drawn.append((difference.pop("interval"), difference["delta"]))
    assert all(low <= middle <= high for (low, high), middle in drawn)
    assert difference.pop("p") == judgement.pop("holm_p") == pytest.approx(1 / 16, abs=2e-4)
    assert difference.pop("improvement_probability") > 0.96
    variance = difference.pop("variance")
    assert (variance["blocks"], variance["training"]) == (8, [])
    value, low, high = judgement.pop("smallest_difference")
    assert 0 < low < value < high < 1
    assert judgement.pop("needed")["seeds"] is None
    assert judgement.pop("reason").startswith("-15.62 points (")
    z = {"z": -5.0, "p": math.erfc(5 / math.sqrt(2)), "segments": 6}
    z |= {"mean": -5 / 6, "deviation": math.sqrt(1 / 6)}
    right = RUN | {"rate": 1 / 32, "cer": 1 / 32, "jer": 1 / 32, "wer": 1 / 8, "swer": 1 / 8}
    right |= {"substitutions": 1}
    totals = [{k: v for k, v in each.items() if k != "failure"} for each in (RUN, right)]
    assert rounded(found) == rounded(
        {
            "version": 2,
            "profile": "verbatim/1",
            "unit": "character",
            "utterances": 8,
            "n": 32,
            "speakers": None,
            "replicates": 10000,
            "baseline": "base",
            "family": 1,
            "margin": None,
            "critical": None,
            "statement": "",
            "systems": [
                {
                    "label": "base",
                    "is_control": False,
                    "trained": True,
                    **totals[0],
                    "spread": None,
                    "runs": [RUN],
                    "difference": None,
                    "tests": None,
                    "judgement": None,
                },
                {
                    "label": "new",
                    "is_control": False,
                    "trained": True,
                    **totals[1],
                    "spread": None,
                    "runs": [right],
                    "difference": {
                        "delta": -5 / 32,
                        "relative": -5 / 6,
                        "utterances_differing": 5,
                        "scope": "these trained models",
                    },
                    "tests": {
                        "mapsswe_words": z,
                        "mapsswe_characters": z,
                        "permutation": {"p": 1 / 16, "least": 1 / 16, "exchanged": "utterances"},
                        "mcnemar": {"only_one": 5, "only_other": 0, "p": 1 / 16},
                    },
                    "judgement": {
                        "verdict": "no evidence of a difference",
                        "scope": "these trained models",
                        "equivalence": None,
                    },
                },
            ],
            "references": str(files / "ref.trn"),
            "notes": [],
        }
    )


def test_json_by_word(files: Path) -> None:
    found = document(*systems(files, "base=a", "new=b"), "--unit", "word")
    assert (found["unit"], found["n"]) == ("word", 8)
    new = found["systems"][1]
    assert (new["cer"], new["wer"], new["n"], new["substitutions"]) == (1 / 32, 1 / 8, 8, 1)
    assert new["difference"]["delta"] == pytest.approx(-5 / 8)


def test_seed_and_replicates(files: Path) -> None:
    command = systems(files, "base=a", "new=b")
    one = document(*command, "--replicates", "500")
    assert one == document(*command, "--replicates", "500")
    other = document(*command, "--replicates", "500", "--seed", "1")
    intervals = [each["systems"][0]["interval"] for each in (one, other)]
    assert intervals[0] != intervals[1]


def test_two_seeds_and_a_third_system(files: Path) -> None:
    command = systems(files, "base=a", "base=b", "new=b", "new=c", "x=a", "y=b")
    found = document(*command)
    assert [len(system["runs"]) for system in found["systems"]] == [2, 2, 1, 1]
    assert found["systems"][0]["cer"] == 7 / 64
    assert found["statement"].startswith(
        "Among the variants, these trained models only, without new (too few seeds): two of them "
    )
    code, out, _ = run(*command)
    assert code == 0
    assert "base x2" in out
    assert found["statement"] in out


def test_table_of_two(files: Path) -> None:
    code, out, err = run(*systems(files, "new=b", "base=a"), "--baseline", "base")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["base", "CER", "18.75", "6", "0", "0", "32"] in [line[:7] for line in lines]
    (pair,) = [line for line in lines if line[:2] == ["new", "-15.62"]]
    assert "-83.3" in pair
    assert ["new", "MAPSSWE,", "words", "-5.000", "<0.001", "6"] in lines
    assert ["new", "permutation", "of", "utterances", "-", "0.062", "-"] in lines
    assert "new: no evidence of a difference. -15.62 points" in out
    tables = [line for line in out.splitlines() if not line.startswith("new: ")]
    assert max(map(len, tables)) <= 80
    assert "\x1b" not in out


def test_one_system_is_as_simple_as_it_was(files: Path) -> None:
    code, out, _ = run(*systems(files, "base=a"))
    assert code == 0
    title, *table = [line for line in out.splitlines() if line.strip()]
    assert title.startswith("ref.trn: 8 utterances, profile verbatim/1: ")
    assert [line.split()[:2] for line in table[2:]] == [
        ["base", "CER"],
        ["base", "WER"],
        ["base", "sWER"],
    ]
    assert "95 %" not in run(*systems(files, "base=a"), "--replicates", "0")[1]


def test_speakers(files: Path) -> None:
    command = systems(files, "base=a", "new=b")
    of_ids = document(*command, "--speaker-of", r"^(\w+)-")
    table = files / "utt2spk"
    table.write_text("".join(f"s{i % 4}-u{i} s{i % 4}\n" for i in range(9)))
    of_file = document(*command, "--speakers", table)
    assert of_ids == of_file
    assert of_ids["speakers"] == 4
    table.write_text("s0-u0 s0\n")
    assert error(*command, "--speakers", table) == (
        f"{table}: found no speaker of 7 of 8 utterances (s1-u1, s2-u2, s3-u3, ...)"
    )
    assert error(*command, "--speaker-of", "(z)") == (
        "--speaker-of: found no speaker of 8 of 8 utterances (s0-u0, s1-u1, s2-u2, ...)"
    )
    assert error(*command, "--speaker-of", "(z") == (
        "--speaker-of: found '(z', which is no regular expression: "
        "missing ), unterminated subpattern at position 0"
    )
    nested = "(" * 5000 + ")" * 5000
    assert "which is no regular expression: " in error(*command, "--speaker-of", nested)
    assert error(*command, "--speaker-of", "^s") == (
        "--speaker-of: found '^s', which has no group; '^([^-_]+)' has one"
    )
    assert error(*command, "--speaker-of", "(s)", "--speakers", table) == (
        "--speaker-of: found together with --speakers; use one of them"
    )


def test_speakers_and_intervals_of_runs_are_those_of_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same question of the same files: not one digit may differ."""
    monkeypatch.chdir(tmp_path)
    files = []
    for variant, edits in (("ds2", (2, 3, 5)), ("ds2_selfattn", (1, 2, 4)), ("ds2_posattn", (8,))):
        for seed, each in enumerate(edits):
            found = leave(variant, seed, each)
            path = found.hypotheses_path("test", "greedy")
            rows = read_jsonl(path)
            write_jsonl(path, [row | {"speaker": f"s{u // 2}"} for u, row in enumerate(rows)])
            files.append(f"{variant}={path}")
    kept = ("speakers", "n", "baseline", "family", "critical", "statement", "replicates")
    for options in ((), ("--seed", "3", "--replicates", "500", "--profile", "nospace")):
        scored = document(*files, *options)
        code, out, err = compare_of("results", *options)
        assert code == 0, err
        (study,) = json.loads(out)["studies"]
        assert {key: scored[key] for key in kept} == {key: study[key] for key in kept}
        assert scored["speakers"] == 2
        # compare orders rows as the registry does, and knows more of each.
        found = {system["label"]: system for system in study["systems"]}
        for system in scored["systems"]:
            runs, others = system.pop("runs"), found[system["label"]].pop("runs")
            for one, other in zip(runs, others, strict=True):
                assert one.items() <= other.items()
            assert system.items() <= found[system["label"]].items()
    alone = document(files[0])["systems"][0]
    code, out, _ = compare_of(str(Path(files[0].partition("=")[2]).parent))
    assert json.loads(out)["studies"][0]["systems"][0]["interval"] == alone["interval"]
    title = run(*files)[1].splitlines()[0]
    assert "4 utterances of 2 speakers, profile" in title


def test_options_and_unknown_speakers_come_before_stored_ones(tmp_path: Path) -> None:
    rows = [{"id": f"u{i}", "reference": "abcd", "hypothesis": "abxd"} for i in range(4)]
    some, path = tmp_path / "some.jsonl", tmp_path / "all.jsonl"
    write_jsonl(some, [row | {"speaker": None} for row in rows])
    write_jsonl(path, [row | {"speaker": f"s{i % 2}"} for i, row in enumerate(rows)])
    assert document(f"a={some}")["speakers"] is None
    assert document(f"a={some}", f"b={path}")["speakers"] == 2
    assert document(f"a={path}", "--speaker-of", "(.+)")["speakers"] == 4
    bare = tmp_path / "ref.txt"
    bare.write_text("".join(f"u{i} abcd\n" for i in range(4)))
    assert document(f"a={path}", "--ref", bare)["speakers"] == 2
    write_jsonl(path, [rows[0] | {"speaker": 3}])
    assert (
        error(f"a={path}") == f"{path}, line 1: found '3' under 'speaker', allowed: a text or null"
    )


def test_kospeech_without_ref(tmp_path: Path) -> None:
    targets = ["<sos>어제 비가", "<sos>네 진짜"]
    for name, predictions in {"a": ["어제 비", "네 진자"], "b": ["어제 비가", "네 진짜"]}.items():
        frame = pd.DataFrame({"targets": targets, "predictions": predictions})
        frame.to_csv(tmp_path / f"{name}.csv", index=False, encoding="cp949")
    found = document(f"base={tmp_path / 'a.csv'}", f"new={tmp_path / 'b.csv'}")
    assert [system["cer"] for system in found["systems"]] == [2 / 9, 0]
    assert found["references"] == str(tmp_path / "a.csv")


def test_notes_are_printed(files: Path) -> None:
    frame = pd.DataFrame({"targets": REFERENCES, "predictions": BASE})
    frame.to_csv(files / "k.csv", index=False)
    line = f"{files / 'k.csv'}: matched with ref.trn by the order of rows"
    command = ("--ref", files / "ref.trn", f"k={files / 'k.csv'}")
    assert document(*command)["notes"] == [line]
    assert f"note: {line}" in run(*command)[1]


def test_refused(files: Path) -> None:
    command = systems(files, "base=a", "new=b")
    assert error(*command, "--baseline", "nwe") == (
        "--baseline: found 'nwe', allowed: base, new; did you mean 'new'?"
    )
    again = f"base={files / 'a.trn'}"
    assert error(*command, again) == (
        f"{again}: found twice; the seeds of a system are different files"
    )
    assert error(again) == (
        f"--ref: found none, and no references in {files / 'a.trn'}; name a file that holds them"
    )


def test_a_pattern_that_never_ends_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asrbench.cli.score.PATTERN_SECONDS", 0.2)
    path = tmp_path / "ref.tsv"
    path.write_text(f"{'a' * 60}!\tone\n")
    said = error(f"A={path}", "--ref", path, "--speaker-of", "(a+)+$")
    assert said.startswith("--speaker-of: found '(a+)+$', which takes more than 0.2 s on 1 id; ")
