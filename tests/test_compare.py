import csv
import subprocess
import sys
from pathlib import Path

import pytest

from asrbench.compare import cells, compare, write
from asrbench.errors import UserError
from asrbench.files import write_jsonl
from asrbench.profiles import PROFILES
from asrbench.runs import Run
from asrbench.score import score as score_of
from asrbench.specfile import load_study

RESULTS = Path("results")
REFERENCES = ["ONE TWO AB", "THREE FOUR", "FIVE SIX A", "SEVEN NINE"]
"""Four times ten characters: one edit is 2.5 points of CER."""

GOLDEN = """\
test of an4 (f1f1f1f1), 4 utterances, N = 40 characters, profile verbatim/1, seeds 0, 1

| variant | params | CER % | sd | seeds 0 1 | diff | step |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| ds2 | 4.01M | 6.25 | 1.77 | 5.00 7.50 | - | 1.00x |
| ds2_selfattn | 4.20M | 3.75 | 1.77 | 2.50 5.00 | -2.50 | 1.50x |
| ds2_crossattn | 12.3M | 10.00 | - | - 10.00 | +2.50 | 2.00x |
| ds2_crossattn [joint] | 12.3M | 7.50 | - | - 7.50 | +0.00 | 2.00x |
| ds2_selfattn_deck | 512k | 95.00! | 7.07 | 100.00! 90.00! | - | 1.00x |

CER: edits over reference characters of the whole split, NFC, spaces and punctuation counted; \
mean over seeds, sd their sample standard deviation.  
diff: CER points, variant minus ds2, mean over the seeds both have; below zero is fewer errors. \
No test stands behind it.  
step: time of an optimizer step in the fastest epoch of training, relative to ds2.  

- ! never learned: ds2_selfattn_deck seed 0, CER 100.00 %: 100 % of the hypotheses are empty; \
no difference is drawn from it
- ! never learned: ds2_selfattn_deck seed 1, CER 90.00 %: every hypothesis is 'E'; \
no difference is drawn from it
- ds2_crossattn: difference over seed 1, shared with ds2
- ds2_crossattn [joint]: difference over seed 1, shared with ds2
- one seed for some variants: differences of this size can be chance
"""


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def begin(variant, seed, *, step_seconds=0.5, epochs=2, done=2, more=(), env=None):
    """A run folder that was trained: two epochs of ten steps, unless told otherwise."""
    model = variant if variant.startswith("ds2") else "ds2"
    Path("study.yaml").write_text(
        f"name: an4\ncorpus: data/an4\nseeds: [{seed}]\n"
        f"variants: {{{variant}: {{model: {{name: {model}}}}}}}\n"
    )
    sets = [f"train.epochs={epochs}", *more]
    (cell,) = load_study(Path("study.yaml"), sets).cells
    run = Run.of(RESULTS, cell, "f1" * 8)
    run.begin(cell, {"device_name": "x86_64", "threads": 2} | (env or {}))
    run.write_history(
        [
            {
                "epoch": epoch,
                "steps": 10 * epoch,
                "train_seconds": 10 * step_seconds,
                "dev_cer": 0.5 / epoch,
            }
            for epoch in range(1, done + 1)
        ]
    )
    return run


def wrong(edits):
    """Hypotheses with so many substitutions, one after the other in the first texts."""
    texts = []
    for reference in REFERENCES:
        here = min(edits, len(reference))
        texts.append("x" * here + reference[here:])
        edits -= here
    return texts


def score(
    run,
    hypotheses,
    *,
    split="test",
    decode="greedy",
    parameters=4_012_345,
    corpus="f1" * 8,
    more=None,
    sides=None,
):
    """What `asrbench eval` leaves; `sides` are the references of a corpus that has several, that
    of the profile first."""
    sides = sides or {"text": REFERENCES}
    (side, references), *others = sides.items()
    rows = [
        {"id": f"u{i}", "reference": reference, "hypothesis": hypothesis}
        | {name: texts[i] for name, texts in others}
        for i, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True))
    ]
    write_jsonl(run.hypotheses_path(split, decode), rows)
    figures = {
        "checkpoint": "best",
        **score_of(references, hypotheses, run.cell.score.profile, run).plain(),
        "side": side,
        "sides": [*sides],
        "parameters": parameters,
        "corpus": corpus,
    }
    run.write_scores(split, decode, figures | (more or {}))
    return run


def leave(variant, seed, edits, **options):
    return score(begin(variant, seed, **options), wrong(edits))


def refusal(*args, **options):
    with pytest.raises(UserError) as caught:
        compare([RESULTS], *args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def notes():
    return compare([RESULTS]).notes


def study():
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


def test_golden_table():
    """Two edits over 40 characters are 5 %, three 7.5 %: mean 6.25, sd 2.5 / sqrt(2) = 1.77.

    `ds2_crossattn` has seed 1 only, so it is compared to seed 1 of `ds2`: 10 - 7.5, and not to the
    mean. `E` stands in each of the four texts of ten, so `E` for each is 36 edits over 40.
    """
    study()
    write(compare([RESULTS]), Path("out"))
    assert Path("out/table.md").read_text(encoding="utf-8") == GOLDEN
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "cer.png",
        "table.csv",
        "table.md",
    ]
    assert Path("out/cer.png").read_bytes().startswith(b"\x89PNG")


def test_csv_has_one_row_a_run_and_decode():
    study()
    write(compare([RESULTS]), Path("out"))
    with Path("out/table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    joint = next(row for row in rows if row["decode"] == "joint")
    run = next(RESULTS.glob("an4/ds2_crossattn/seed1-*"))
    assert joint == {
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


def test_difference_is_paired_by_seed():
    """Seeds 0, 1, 2 of ds2 have 2, 4, 10 edits; seeds 1, 2 of the other 3, 8.

    Paired: (3 - 4 + 8 - 10) / 2 = -1.5 edits of 40, which is -3.75 points; the means would differ
    by 5.5 - 16 / 3 = +0.17 edits.
    """
    for seed, edits in ((0, 2), (1, 4), (2, 10)):
        leave("ds2", seed, edits)
    for seed, edits in ((1, 3), (2, 8)):
        leave("ds2_selfattn", seed, edits)
    baseline, other = compare([RESULTS]).rows
    assert other.difference(baseline) == pytest.approx(-1.5 / 40)
    assert baseline.difference(baseline) is None
    assert "ds2_selfattn: difference over seeds 1, 2, shared with ds2" in notes()


def test_no_difference_without_a_shared_seed():
    leave("ds2", 0, 2)
    leave("ds2_selfattn", 1, 1)
    comparison = compare([RESULTS])
    assert cells(comparison)[1][1][-2] == "-"
    assert "ds2_selfattn: difference over no seed, shared with ds2" in comparison.notes


def test_one_untrained_seed_takes_the_difference_away():
    for seed in (0, 1):
        leave("ds2", seed, 2)
    leave("ds2_selfattn", 0, 1)
    leave("ds2_selfattn", 1, 37)
    comparison = compare([RESULTS])
    assert cells(comparison)[1][1][2:6] == ["47.50!", "63.64", "2.50 92.50!", "-"]
    assert comparison.notes[0] == (
        "! never learned: ds2_selfattn seed 1, CER 92.50 %: CER is 90 % or more; "
        "no difference is drawn from it"
    )


def test_untrained_baseline_leaves_no_difference():
    leave("ds2", 0, 40)
    leave("ds2_selfattn", 0, 1)
    comparison = compare([RESULTS])
    assert [row[-2] for row in cells(comparison)[1]] == ["-", "-"]
    write(comparison, Path("out"))


def test_baseline_leads_and_the_registry_orders_the_rest():
    for variant in ("wide", "ds2_twattn", "narrow", "ds2_selfattn", "ds2"):
        leave(variant, 0, 1)
    labels = ["ds2", "ds2_selfattn", "ds2_twattn", "narrow", "wide"]
    assert [row.label for row in compare([RESULTS]).rows] == labels
    chosen = compare([RESULTS], "ds2_twattn").rows
    assert [row.label for row in chosen] == ["ds2_twattn", "ds2", "ds2_selfattn", "narrow", "wide"]
    assert refusal("ds2_twatn") == (
        "--baseline: found 'ds2_twatn', allowed: ds2, ds2_selfattn, ds2_twattn, narrow, wide; "
        "did you mean 'ds2_twattn'?"
    )


def test_baseline_without_ds2_is_the_first_and_said_so():
    leave("wide", 0, 1)
    leave("narrow", 0, 1)
    assert "no run of ds2: narrow is the baseline; --baseline names another" in notes()


def test_corpora_are_not_mixed():
    one = leave("ds2", 0, 1)
    other = score(begin("ds2_selfattn", 0), wrong(1), corpus="0e" * 8)
    assert refusal() == (
        f"{one} and {other}: found scores on different corpora (fingerprints f1f1f1f1 and "
        f"0e0e0e0e); compare them apart"
    )


def test_profiles_are_not_mixed():
    one = leave("ds2", 0, 1)
    other = leave("ds2_selfattn", 0, 1, more=["score.profile=nospace"])
    assert refusal() == (
        f"{one} and {other}: found the score profiles 'verbatim' and 'nospace'; compare them "
        f"apart, or under one with --profile"
    )
    rows = compare([RESULTS], profile="nospace").rows
    assert [row.results[0].scores.profile for row in rows] == ["nospace/2", "nospace/2"]


def test_versions_of_a_profile_are_not_mixed():
    """`nospace` once counted punctuation; a score of then says no version."""
    leave("ds2", 0, 1, more=["score.profile=nospace"])
    run = begin("ds2_selfattn", 0, more=["score.profile=nospace"])
    score(run, wrong(1), more={"profile": "nospace"})
    assert refusal() == (
        f"{run}: found scores under nospace/1, and 'nospace' is nospace/2 now; "
        f"`asrbench eval {run}` scores it anew, --profile nospace its hypotheses"
    )
    assert len(compare([RESULTS], profile="nospace").rows) == 2


def test_another_profile_is_computed_from_the_hypotheses():
    """Of the 40 characters six are spaces and the edit is none of them: 1 / 34. What is stored
    is under another profile, and is no contradiction."""
    leave("ds2", 0, 1)
    comparison = compare([RESULTS], profile="nospace")
    assert comparison.n == 34
    assert comparison.rows[0].mean == 1 / 34
    assert "N = 34 characters, profile nospace/2" in comparison.title
    assert PROFILES["nospace"].words in comparison.legend[0]
    assert comparison.notes == (
        "weights were chosen by dev CER under verbatim/1, not under nospace/2",
    )


def test_another_profile_has_references_of_its_own_side():
    """Heard as it is spelled: right under `nospace`, and under `verbatim`, whose `text` has no
    mark. Under `kospeech`, which asks for how it is said, 3 is wrong, and `.` is missing: 2 / 6."""
    sides = {
        "spelling": ["3시.", "네", "네", "네"],
        "text": ["3시", "네", "네", "네"],
        "phonetic": ["세 시.", "네", "네", "네"],
    }
    run = begin("ds2", 0, more=["score.profile=nospace"])
    score(run, ["3시", "네", "네", "네"], sides=sides)
    means = {p: compare([RESULTS], profile=p).rows[0].mean for p in (None, *PROFILES)}
    assert means == {
        None: 0 / 5,
        "nospace": 0 / 5,
        "espnet": 0 / 5,
        "verbatim": 0 / 5,
        "kospeech": 2 / 6,
    }


def test_dev_curves_of_different_profiles_are_no_picture(monkeypatch):
    """They would stand on one axis. Those of one profile are drawn, with what it is."""
    drawn = []
    monkeypatch.setattr("asrbench.plots.draw", lambda *args, **kwargs: drawn.append((args, kwargs)))
    leave("ds2", 0, 1)
    write(compare([RESULTS]), Path("out"))
    leave("ds2_selfattn", 0, 1, more=["score.profile=nospace"])
    write(compare([RESULTS], profile="verbatim"), Path("out"))
    (one, label), (two, _) = [(args[2], kwargs["curves_unit"]) for args, kwargs in drawn]
    assert (len(one), len(two)) == (1, 0)
    assert label == "dev CER (%), greedy, verbatim/1"


def test_references_are_not_mixed(monkeypatch):
    one = leave("ds2", 0, 1)
    monkeypatch.setattr(sys.modules[__name__], "REFERENCES", ["ONE TWO AC", *REFERENCES[1:]])
    other = leave("ds2_selfattn", 0, 1)
    assert refusal().startswith(f"{one} and {other}: found different references of test")


def test_seeds_of_different_specs_are_not_averaged():
    one = leave("ds2", 0, 1)
    other = leave("ds2", 1, 1, epochs=3)
    assert refusal() == (
        f"{one} and {other}: found two runs of ds2 that differ in train.epochs; "
        f"name one of them or delete the other"
    )


def test_same_seed_twice_is_refused():
    one, other = sorted(
        [leave("ds2", 0, 1), leave("ds2", 0, 1, more=["train.optimizer.lr=1e-3"])],
        key=lambda run: run.folder,
    )
    assert refusal() == (
        f"{one} and {other}: found two runs of ds2 that differ in train.optimizer.lr; "
        f"name one of them or delete the other"
    )
    assert compare([one.folder]).rows[0].results[0].run == one


def test_run_named_twice_counts_once(tmp_path):
    run = leave("ds2", 0, 1)
    comparison = compare([RESULTS, run.folder, tmp_path / run.folder])
    assert len(comparison.rows[0].results) == 1


def test_run_without_a_score_is_left_out_and_named():
    leave("ds2", 0, 1)
    run = begin("ds2_selfattn", 0)
    comparison = compare([RESULTS])
    assert [row.label for row in comparison.rows] == ["ds2"]
    assert comparison.notes == (f"not evaluated on test: {run}; `asrbench eval {run}`",)


def test_run_without_hypotheses_is_left_out_and_named():
    leave("ds2", 0, 1)
    run = leave("ds2_selfattn", 0, 1)
    path = run.hypotheses_path("test", "greedy")
    path.unlink()
    assert notes() == (f"left out: {path} is missing; `asrbench eval {run}`",)


def test_no_score_at_all_says_what_to_run():
    begin("ds2", 0)
    assert refusal() == "results: found no scores; `asrbench eval results` makes them"


def test_split_is_test_unless_told_otherwise():
    run = score(begin("ds2", 0), wrong(4), split="dev")
    comparison = compare([RESULTS])
    assert comparison.split == "dev"
    assert comparison.notes == ("dev also chose the checkpoint: figures on it flatter",)
    score(run, wrong(1))
    assert compare([RESULTS]).split == "test"
    assert compare([RESULTS], split="dev").rows[0].mean == pytest.approx(4 / 40)
    assert refusal(split="train") == (
        "--split: found 'train', scored: dev, test; `asrbench eval results` scores more"
    )


def test_stored_score_that_its_hypotheses_do_not_give_is_told():
    run = score(begin("ds2", 0), wrong(4), more={"cer": 0.05})
    comparison = compare([RESULTS])
    assert comparison.rows[0].mean == pytest.approx(4 / 40)
    assert comparison.notes == (
        f"{run}: scores.json says CER 5.0000 % (greedy), its hypotheses give 10.0000 %, "
        f"which is shown",
    )


def test_unfinished_run_is_told():
    run = leave("ds2", 0, 1, epochs=5)
    assert notes() == (f"unfinished, 2 of 5 epochs: {run}",)


def test_run_without_history_has_no_step_time():
    leave("ds2", 0, 1)
    leave("ds2_selfattn", 0, 1, done=0)
    comparison = compare([RESULTS])
    assert cells(comparison)[1][1][-1] == "-"
    write(comparison, Path("out"))


def test_what_else_differs_is_told():
    leave("ds2", 0, 1)
    leave("ds2_selfattn", 0, 1, more=["train.optimizer.lr=1e-3", "model.recurrence.layers=2"])
    assert "beyond the model, variants differ in train.optimizer.lr" in notes()


def test_machines_and_commits_that_differ_are_told():
    leave("ds2", 0, 1, env={"commit": "aaaaaaaaaa"})
    leave("ds2_selfattn", 0, 1, env={"commit": "bbbbbbbbbb", "threads": 16})
    assert notes()[1:] == (
        "runs differ in threads (16, 2): step compares these too",
        "runs come from different commits: aaaaaaaa, bbbbbbbb",
    )


def test_few_seeds_are_told():
    leave("ds2", 0, 1)
    leave("ds2_selfattn", 0, 2)
    assert notes() == ("one seed a variant: differences of this size can be chance",)
    for variant, seed in (("ds2", 1), ("ds2", 2), ("ds2_selfattn", 1), ("ds2_selfattn", 2)):
        leave(variant, seed, 1)
    assert notes() == ()


def test_no_torch_is_imported():
    code = "import asrbench.compare, sys; assert not {'torch', 'matplotlib'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
