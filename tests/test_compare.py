import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scored_runs import RESULTS, begin, leave, score, wrong
from typer.testing import CliRunner

import asrbench
from asrbench.base.errors import UserError
from asrbench.base.files import read_jsonl, write_jsonl
from asrbench.base.records import to_json
from asrbench.cli.app import app
from asrbench.experiment.spec import DecodeSpec
from asrbench.report.answer import answer
from asrbench.report.study import Analysis, Settings, Study, StudySystem
from asrbench.stages.compare.study import analysis_of, study_of, write
from asrbench.stats.verdicts import Verdict

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def study(replicates: int = 1_000, **options: Any) -> Study:
    return study_of([RESULTS], replicates=replicates, **options)


def analysis(replicates: int = 1_000, **options: Any) -> Analysis:
    return analysis_of([RESULTS], Settings(replicates=replicates, **options))


def by_label(found: Study) -> dict[str, StudySystem]:
    return {system.label: system for system in found.systems}


def leave_all() -> None:
    """Two seeds of a baseline and a challenger; one seed of a third, decoded twice; a failure."""
    leave("ds2", 0, 2)
    leave("ds2", 1, 3)
    for seed, edits in ((0, 1), (1, 2)):
        run = begin("ds2_selfattn", seed, step_seconds=0.75)
        score(run, wrong(edits), parameters=4_200_000)
    cross = begin("ds2_crossattn", 1, step_seconds=1.0)
    score(cross, wrong(4), parameters=12_345_678)
    score(cross, wrong(3), decode="joint", parameters=12_345_678)
    score(begin("ds2_selfattn_deck", 0), [""] * 4, parameters=512_000)
    score(begin("ds2_selfattn_deck", 1), ["E"] * 4, parameters=512_000)


def rounded(value: Any) -> Any:
    """Floats to nine digits: their last ones are the machine's."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def test_the_function_of_the_package_gives_the_study_of_the_command() -> None:
    leave_all()
    assert asrbench.compare(RESULTS, replicates=1_000) == study()
    found = asrbench.compare(str(RESULTS), baseline="ds2_selfattn", replicates=0)
    assert found.baseline == "ds2_selfattn"
    assert found.systems[0].cer == pytest.approx(1.5 / 40)


def test_golden_tables_and_json() -> None:
    """Rates by hand: two edits over 40 characters are 5 %, three 7.5 %, so ds2 has 6.25. `E` is
    in each of the four texts of ten, so `E` for each is 36 edits over 40."""
    leave_all()
    (found,) = write(analysis(), Path("out")).studies
    table = Path("out/table.md").read_text(encoding="utf-8")
    assert table == (GOLDEN / "table.md").read_text(encoding="utf-8")
    expected = json.loads((GOLDEN / "study.json").read_text(encoding="utf-8"))
    assert rounded(json.loads(Path("out/study.json").read_text(encoding="utf-8"))) == expected
    systems = by_label(found)
    assert [system.cer for system in found.systems] == pytest.approx(
        [2.5 / 40, 1.5 / 40, 4 / 40, 3 / 40, 38 / 40]
    )
    selfattn = systems["ds2_selfattn"]
    assert selfattn.difference is not None
    assert selfattn.difference.delta == pytest.approx(-1 / 40)
    assert selfattn.shared_seeds == (0, 1)
    assert selfattn.cost.step_ratio == 1.5
    assert systems["ds2_selfattn_deck"].verdict is Verdict.NOT_TRAINED
    assert systems["ds2_selfattn_deck"].difference is None


def test_the_json_reads_back_as_the_analysis() -> None:
    leave_all()
    found = write(analysis(replicates=100), Path("out"))
    text = Path("out/study.json").read_text(encoding="utf-8")
    assert Analysis.from_json(text) == found
    assert found.studies == (study(replicates=100),)
    with pytest.raises(ValueError, match="version"):
        Analysis.from_json(text.replace('"version": 3', '"version": 2'))
    assert Analysis.from_json(to_json(analysis(replicates=0))).studies[0].findings is None


def test_everything_that_is_written_is_there() -> None:
    leave_all()
    names = {*write(analysis(), Path("out")).files}
    assert {"table.md", "table.csv", "table.tex", "study.json", "report.html"} <= names
    assert {"rates.png", "rates.svg", "differences.png", "learning.svg"} <= names
    assert {path.name for path in Path("out").iterdir()} == names
    assert Path("out/rates.png").read_bytes().startswith(b"\x89PNG")
    latex = Path("out/table.tex").read_text(encoding="utf-8")
    assert "ds2\\_selfattn & 4.20M & 3.75 &" in latex
    assert latex.count("\\\\") == 1 + 5 + 1


@pytest.mark.parametrize(
    ("loads", "device", "step_seconds"),
    [
        ([0.05, 0.9], "cpu", 0.5),
        # The second epoch is the faster one, and nobody knows who else was there.
        ([0.05, None], "cpu", 0.5),
        ([0.06, 0.01], "cpu", 0.25),
        ([0.06, 0.06], "cpu", None),
        ([None, None], "cpu", None),
        ([None, None], "cuda", 0.25),
    ],
)
def test_a_step_is_that_of_a_quiet_epoch(
    loads: list[float | None], device: str, step_seconds: float | None
) -> None:
    run = begin("ds2", 0, loads=loads, env={"device": device})
    first, second = run.history()
    run.write_history([first, second | {"train_seconds": 0.5 * second["train_seconds"]}])
    score(run, wrong(1))
    leave("ds2_selfattn", 0, 1)
    found = study(replicates=0)
    assert found.systems[0].runs[0].step_seconds == step_seconds
    ratio = None if step_seconds is None else 0.5 / step_seconds
    assert found.systems[1].cost.step_ratio == ratio


def test_an_epoch_without_a_record_of_the_load_has_no_step() -> None:
    """History rows from before it was recorded have no such key."""
    run = leave("ds2", 0, 1)
    run.write_history(
        [{k: v for k, v in row.items() if k != "other_load"} for row in run.history()]
    )
    (found,) = write(analysis(replicates=0), Path("out")).studies
    assert found.systems[0].cost.step_seconds is None
    assert "| ds2 | 4.01M | 2.50 | - | 2.50 | - |" in Path("out/table.md").read_text()


def test_texts_that_occur_in_train_are_told() -> None:
    for variant, edits in (("ds2", 1), ("ds2_selfattn", 11)):
        run = leave(variant, 0, edits)
        path = run.hypotheses_path("test", "greedy")
        rows = read_jsonl(path)
        write_jsonl(path, [row | {"in_train": u == 0} for u, row in enumerate(rows)])
    score(begin("ds2_crossattn", 0), wrong(0), decode="joint")
    found = study(replicates=200)
    note = (
        "1 of 4 texts of test (25.0 %) also occur in train; report.html has the rates on these and "
        "on the others"
    )
    assert note in found.notes
    assert found.findings is not None
    groups = found.findings.seen_texts
    assert groups is not None
    rates = {label: rate.cer for label, rate in groups.seen.systems.items()}
    assert rates == {"ds2": 1 / 10, "ds2_selfattn": 10 / 10, "ds2_crossattn [joint]": 0}
    assert groups.unseen.systems["ds2_selfattn"].cer == 1 / 30
    # A single utterance has no interval, and another decoder is not compared.
    assert groups.seen.differences == {}
    assert groups.unseen.differences.keys() == {"ds2_selfattn"}
    assert groups.unseen.differences["ds2_selfattn"].delta == pytest.approx(1 / 30)


def test_old_hypotheses_do_not_say_which_texts_occur_in_train() -> None:
    leave("ds2", 0, 1)
    found = study(replicates=200)
    assert found.findings is not None
    assert found.findings.seen_texts is None
    assert not any("occur in train" in note for note in found.notes)


def test_csv_has_one_row_a_run_and_decode() -> None:
    leave_all()
    write(analysis(), Path("out"))
    with Path("out/table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    joint = next(row for row in rows if row["decode"] == "joint")
    run = next(RESULTS.glob("an4/ds2_crossattn/seed1-*"))
    assert joint == {
        "split": "test",
        "variant": "ds2_crossattn",
        "decode": "joint",
        "seed": "1",
        "profile": "verbatim/1",
        "cer": "0.075000",
        # No Hangul, so that jamo are characters.
        "jer": "0.075000",
        # One word, `ONE`, of the ten is wrong, and no space.
        "wer": "0.100000",
        "swer": "0.100000",
        "substitutions": "3",
        "deletions": "0",
        "insertions": "0",
        "n": "40",
        "parameters": "12345678",
        "step_seconds": "1.000000",
        "run": str(run),
    }


def test_one_untrained_seed_takes_the_verdict_away() -> None:
    for seed in (0, 1):
        leave("ds2", seed, 2)
    leave("ds2_selfattn", 0, 1)
    leave("ds2_selfattn", 1, 37)
    _, other = study().systems
    assert other.verdict is Verdict.NOT_TRAINED
    assert other.reason == "run 2 of 2: CER is 90 % or more"
    assert other.difference is None


def test_an_untrained_baseline_leaves_nothing_to_compare_to() -> None:
    leave("ds2", 0, 40)
    leave("ds2_selfattn", 0, 1)
    (found,) = write(analysis(), Path("out")).studies
    baseline, other = found.systems
    assert baseline.verdict is Verdict.NOT_TRAINED
    assert other.verdict is Verdict.NOT_COMPARABLE
    assert "the baseline ds2 is not trained" in other.reason


JOINT_ASIDE = (
    "another decoder: joint, where ds2 has greedy; --system 'ds2_crossattn [joint]' compares them "
    "with their searches"
)


def test_another_decoder_order_of_batches_or_rule_for_weights_is_no_comparison() -> None:
    leave("ds2", 0, 2)
    cross = leave("ds2_crossattn", 0, 2)
    score(cross, wrong(1), decode="joint")
    leave("ds2_selfattn", 0, 1, more=["train.batch_seconds=33"])
    leave("ds2_posattn", 0, 1, epochs=6, more=["train.weights.kind=average"])
    found = study()
    systems = by_label(found)
    assert not any("is tested with" in line for line in found.legend)
    assert systems["ds2_crossattn"].verdict is Verdict.NO_EVIDENCE
    for label, reason in (
        ("ds2_crossattn [joint]", JOINT_ASIDE),
        ("ds2_selfattn", "another order of batches: train.batch_seconds is 33, not 120"),
        (
            "ds2_posattn",
            "another rule for the weights: it is tested with the mean of the weights after each of "
            "the last 5 epochs, ds2 with the weights after the epoch with the lowest dev CER",
        ),
    ):
        assert systems[label].verdict is Verdict.NOT_COMPARABLE
        assert systems[label].reason == reason
        assert systems[label].difference is None


def test_the_operations_of_a_decoder_are_not_known() -> None:
    """`asrbench eval` counts those of the encoder, which are not what joint decoding costs."""
    run = begin("ds2_crossattn", 0)
    for decode in ("greedy", "joint"):
        more = {"flops_per_audio_second": 2e9, "real_time_factor": 0.5}
        score(run, wrong(1), decode=decode, more=more)
    greedy, joint = (system.cost for system in study().systems)
    assert (greedy.flops_per_audio_second, greedy.real_time_factor) == (2e9, 0.5)
    assert (joint.flops_per_audio_second, joint.real_time_factor) == (None, 0.5)


def test_dev_curves_of_different_profiles_are_no_picture() -> None:
    """They would be on one axis."""
    leave("ds2", 0, 1)
    assert len(study().systems[0].curves) == 1
    leave("ds2_selfattn", 0, 1, more=["score.profile=nospace"])
    found = study(profile="verbatim")
    assert [system.curves for system in found.systems] == [(), ()]
    assert found.dev is None


def test_the_margin_of_the_specs_is_that_of_the_study() -> None:
    for variant in ("ds2", "ds2_selfattn"):
        leave(variant, 0, 2, more=["compare.margin=0.5"])
    found = study()
    assert found.margin == pytest.approx(0.005)
    assert found.systems[1].judgement.equivalence.margin == pytest.approx(0.005)
    assert "the margin is 0.5 points" in found.systems[1].reason
    assert study(margin=2).margin == pytest.approx(0.02)


def test_margins_that_differ_or_are_impossible_are_one_line() -> None:
    leave("ds2", 0, 2)
    leave("ds2_selfattn", 0, 2, more=["compare.margin=0.5"])
    with pytest.raises(UserError, match=r"^compare.margin: found no margin \(.*\) and 0.5 \("):
        study()
    assert study(margin=1).margin == pytest.approx(0.01)
    with pytest.raises(UserError, match="found 0, allowed: a number of points above"):
        study(margin=0)


def test_controls_of_the_registry_and_of_the_caller_are_no_part_of_the_family() -> None:
    for variant, edits in (("ds2", 4), ("ds2_selfattn", 2), ("ds2_posattn", 3), ("ds2_wide", 1)):
        leave(variant, 0, edits)
    found = by_label(study())
    assert [label for label, each in found.items() if each.is_control] == ["ds2_wide"]
    assert study().family == 2
    assert found["ds2_wide"].judgement.holm_p == found["ds2_wide"].difference.p
    named = study(controls=["ds2_posattn"])
    assert named.family == 1
    assert "without ds2_posattn and ds2_wide (controls)" in named.legend[1]
    with pytest.raises(UserError, match="found 'ds2_deck', allowed: ds2_selfattn, ds2_pos"):
        study(controls=["ds2_deck"])
    # As baseline, a control is what the others are held against.
    assert not study(baseline="ds2_wide").systems[0].is_control


def test_without_replicates_there_are_rates_alone() -> None:
    leave("ds2", 0, 1)
    leave("ds2_selfattn", 0, 2, done=0)
    whole = write(analysis(replicates=0), Path("out"))
    (found,) = whole.studies
    assert [system.cer for system in found.systems] == [1 / 40, 2 / 40]
    assert [system.interval for system in found.systems] == [None, None]
    assert found.systems[1].cost.step_ratio is None
    assert whole.files == ("table.md", "table.csv", "table.tex", "study.json")


def invoke(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["compare", str(RESULTS), *arguments])
    assert result.exit_code == 0, result.output
    return result


def test_the_command_prints_verdicts_tables_or_the_document() -> None:
    leave_all()
    shown = invoke("--replicates", "500").output
    assert "Against ds2" in shown
    assert "- ds2_selfattn: two seeds cannot decide." in shown
    first, *_, last = shown.splitlines()
    assert first == answer(study(replicates=500))
    count = len(list(Path("results").glob("*.*")))
    files = "table.md, study.json, report.html"
    assert last == f"wrote {count} files in results: {files}, ..."
    quiet = invoke("--replicates", "500", "--quiet").output.splitlines()
    assert quiet[0] == first
    assert [line[:2] for line in quiet[1:]] == ["- "] * 4
    Path("results/report.html").unlink()
    (found,) = json.loads(invoke("--replicates", "500", "--json").output)["studies"]
    assert found["baseline"] == "ds2"
    assert not Path("results/report.html").exists()
    bare = invoke("--replicates", "0").output.splitlines()
    assert bare[-1] == "wrote 4 files in results: table.md, table.csv, table.tex, study.json"


# Several splits


def leave_splits() -> None:
    """Two variants on `eval_clean` and `eval_other`, and one on another corpus and on dev too."""
    for variant, clean, other in (("ds2", 2, 4), ("ds2_selfattn", 1, 6)):
        run = begin(variant, 0)
        score(run, wrong(other), split="eval_other")
        score(run, wrong(clean), split="eval_clean")
    score(run, wrong(8), split="test@an4-1a2b3c4d", corpus="0e" * 8)
    score(run, wrong(1), split="dev")


def test_every_evaluation_split_is_a_study_of_its_own() -> None:
    leave_splits()
    found = analysis()
    assert [each.split for each in found.studies] == [
        "eval_clean",
        "eval_other",
        "test@an4-1a2b3c4d",
    ]
    assert [[system.cer for system in each.systems] for each in found.studies] == [
        [2 / 40, 1 / 40],
        [4 / 40, 6 / 40],
        [8 / 40],
    ]
    assert found.studies[:2] == tuple(study(split=name) for name in ("eval_clean", "eval_other"))
    assert [each.family for each in found.studies] == [1, 1, 0]
    # Alone, the third study would show ds2 on another split; here it has its row in the others.
    assert len(study(split="test@an4-1a2b3c4d").not_comparable) == 1
    assert [each.not_comparable for each in found.studies] == [()] * 3
    chosen = analysis(splits=("eval_other", "dev", "eval_other"))
    assert [each.split for each in chosen.studies] == ["eval_other", "dev"]


def test_several_splits_stand_in_every_file() -> None:
    leave_splits()
    found = write(analysis(splits=("eval_clean", "eval_other")), Path("out"))
    assert {path.name for path in Path("out").iterdir()} == {*found.files}
    assert {"rates-eval_clean.png", "rates-eval_other.svg"} <= {*found.files}
    assert "rates.png" not in found.files
    table = Path("out/table.md").read_text(encoding="utf-8")
    lines = table.splitlines()
    titles = [lines.index(each.title) for each in found.studies]
    assert titles[0] == 0 < titles[1]
    for line in (*found.studies[0].legend, f"- {found.studies[0].notes[0]}"):
        assert table.count(line) == 1
    with Path("out/table.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["split"], row["variant"], row["cer"]) for row in csv.DictReader(file)]
    assert rows == [
        ("eval_clean", "ds2", "0.050000"),
        ("eval_clean", "ds2_selfattn", "0.025000"),
        ("eval_other", "ds2", "0.100000"),
        ("eval_other", "ds2_selfattn", "0.150000"),
    ]
    latex = Path("out/table.tex").read_text(encoding="utf-8")
    assert latex.count("\\begin{tabular}") == latex.count("\\end{tabular}") == 2
    one = write(analysis(splits=("eval_other",)), Path("out"))
    assert {path.name for path in Path("out").iterdir()} == {*one.files}
    assert "rates.png" in one.files
    assert "eval_clean" not in Path("out/table.md").read_text(encoding="utf-8")


def test_the_terminal_has_every_split_and_says_what_they_share_once() -> None:
    leave_splits()
    asked = ("--split", "eval_clean", "--split", "eval_other", "--replicates", "200")
    shown = invoke(*asked).output
    studies = analysis(replicates=200, splits=("eval_clean", "eval_other")).studies
    answers = [f"{each.split}: {answer(each)}" for each in studies]
    lines = shown.splitlines()
    assert lines[0] == answers[0]
    assert answers[1] in lines
    assert all(shown.count(line) == 1 for line in studies[0].legend)
    quiet = invoke(*asked, "--quiet").output.splitlines()
    assert [line for line in quiet if not line.startswith("- ")] == answers


def test_settings_that_fit_only_some_of_the_splits_say_how_to_choose() -> None:
    leave_splits()
    with pytest.raises(UserError) as caught:
        analysis(baseline="ds2")
    assert str(caught.value) == (
        "--baseline: found 'ds2', allowed: ds2_selfattn "
        "(scored: eval_clean, eval_other, test@an4-1a2b3c4d; --split chooses)"
    )
    chosen = analysis(baseline="ds2_selfattn", splits=("eval_clean",))
    assert chosen.settings == Settings(
        baseline="ds2_selfattn", splits=("eval_clean",), replicates=1_000
    )
    with pytest.raises(UserError, match=r"^--split: found 'test', scored: eval_other, eval_clean"):
        analysis(splits=("test",))


def test_rows_that_are_asked_for_are_compared_whatever_their_search() -> None:
    leave("ds2", 0, 2)
    cross = leave("ds2_crossattn", 0, 2)
    score(cross, wrong(1), decode="joint")
    leave("ds2_selfattn", 0, 1)
    found = study(systems=["ds2_crossattn [joint]"])
    assert [system.label for system in found.all_systems] == ["ds2", "ds2_crossattn [joint]"]
    joint = by_label(found)["ds2_crossattn [joint]"]
    assert joint.difference is not None
    assert joint.difference.delta == pytest.approx(joint.cer - found.systems[0].cer)
    assert any(line.startswith("Rows are systems") for line in found.legend)
    turned = study(baseline="ds2_crossattn [joint]", systems=["ds2", "ds2_selfattn"])
    assert [each.label for each in turned.systems] == [
        "ds2_crossattn [joint]",
        "ds2",
        "ds2_selfattn",
    ]
    with pytest.raises(UserError, match=r"--system: found 'ds2 \[joint\]', allowed: "):
        study(systems=["ds2 [joint]"])


def test_rows_that_the_specs_ask_for_are_compared() -> None:
    for variant, errors in (("ds2", 2), ("ds2_crossattn", 2)):
        run = leave(variant, 0, errors, more=["compare.systems=['ds2_crossattn [joint]']"])
        score(run, wrong(1), decode="joint")
    found = study()
    assert [system.label for system in found.all_systems] == ["ds2", "ds2_crossattn [joint]"]


def test_the_largest_wins_and_losses_are_shown_aligned() -> None:
    leave("ds2", 0, 2)
    leave("ds2_selfattn", 0, 1)
    shown = invoke("--replicates", "500", "--utterances", "1").output.splitlines()
    start = shown.index("Largest wins of ds2_selfattn")
    assert shown[start + 1 : start + 5] == [
        "u0  -1.0 errors",
        "  reference     ONE TWO AB",
        "  ds2           [-ON-]{+xx+}E TWO AB",
        "  ds2_selfattn  [-O-]{+x+}NE TWO AB",
    ]
    assert shown[start + 5] == "Largest losses of ds2_selfattn"


def test_words_are_another_unit() -> None:
    """One edit, one of ten words; four edits in `ONE TWO AB` are two of them."""
    leave("ds2", 0, 1)
    leave("ds2_selfattn", 0, 4)
    (found,) = json.loads(invoke("--replicates", "500", "--json", "--unit", "word").output)[
        "studies"
    ]
    assert (found["unit"], found["n"]) == ("word", 10)
    assert [system["rate"] for system in found["systems"]] == [1 / 10, 2 / 10]
    assert [system["cer"] for system in found["systems"]] == [1 / 40, 4 / 40]
    assert found["title"].endswith("N = 10 words, profile verbatim/1, seed 0")
    shown = invoke("--replicates", "500", "--unit", "word").output
    assert "WER %" in shown
    assert "10.00" in shown
    assert "diff: difference in points of WER" in shown
    table, latex = (Path("results", f"table.{form}").read_text() for form in ("md", "tex"))
    assert "| WER % |" in table
    assert "WER \\%" in latex
    page = Path("results/report.html").read_text()
    assert "WER by variant, test" in page
    assert "CER by variant" not in page


def test_neither_torch_nor_a_drawing_library_comes_with_the_rates() -> None:
    code = (
        "import asrbench.stages.compare.study, sys; "
        "assert not {'torch', 'matplotlib'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_settings_of_a_search_are_compared_with_the_defaults_of_newer_keys() -> None:
    """A search may read keys that there were not when a run was decoded."""
    before = {"beam": 10, "ctc_weight": 0.3}
    now = DecodeSpec().model_dump()
    for seed, settings in enumerate((before, now)):
        run = begin("ds2_crossattn", seed)
        score(run, wrong(1), decode="joint", more={"settings": settings})
    assert study(replicates=200).systems
    other = before | {"beam": 4}
    score(begin("ds2_crossattn", 2), wrong(1), decode="joint", more={"settings": other})
    with pytest.raises(UserError, match=r"found joint decoding with .*'beam': 10.*'beam': 4.*"):
        study(replicates=200)
