import subprocess
import sys

import pytest
import scored_runs
from scored_runs import REFERENCES, RESULTS, begin, leave, score, wrong

from asrbench.base.errors import UserError
from asrbench.base.files import read_jsonl, write_jsonl
from asrbench.report import page as report
from asrbench.report import tables
from asrbench.report.plots.study import pictures
from asrbench.stages.compare.selection import select
from asrbench.stages.compare.study import compare_selection
from asrbench.stats.verdicts import Verdict
from asrbench.text.profiles import PROFILES


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refusal(*args, **options):
    with pytest.raises(UserError) as caught:
        select([RESULTS], *args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def notes():
    return select([RESULTS]).notes


def rates(selection):
    """CER of each system."""
    return [system.cer for system in compare_selection(selection, replicates=0).systems]


def test_baseline_leads_and_the_registry_orders_the_rest():
    for variant in ("wide", "ds2_twattn", "narrow", "ds2_selfattn", "ds2"):
        leave(variant, 0, 1)
    labels = ["ds2", "ds2_selfattn", "ds2_twattn", "narrow", "wide"]
    assert [system.label for system in select([RESULTS]).systems] == labels
    chosen = select([RESULTS], "ds2_twattn").systems
    assert [system.label for system in chosen] == [
        "ds2_twattn",
        "ds2",
        "ds2_selfattn",
        "narrow",
        "wide",
    ]
    assert refusal("ds2_twatn") == (
        "--baseline: found 'ds2_twatn', allowed: ds2, ds2_selfattn, ds2_twattn, narrow, wide; "
        "did you mean 'ds2_twattn'?"
    )


def test_baseline_without_ds2_is_the_first_and_said_so():
    leave("wide", 0, 1)
    leave("narrow", 0, 1)
    assert "no run of ds2: narrow is the baseline; --baseline chooses another" in notes()


def test_decoding_at_different_commits_is_told():
    score(begin("ds2", 0), wrong(1), more={"environment": {"commit": "b" * 40}})
    score(begin("ds2_selfattn", 0), wrong(1), more={"environment": {"commit": "a" * 40}})
    leave("ds2_posattn", 0, 1)
    assert "runs were decoded at different commits: aaaaaaaa, bbbbbbbb" in notes()


def test_utterances_in_another_order_are_the_same_run():
    """One edit each in the first two texts: matched by their ids, not by their order."""
    one, other = leave("ds2", 0, 1), leave("ds2_selfattn", 0, 0)
    path = other.hypotheses_path("test", "greedy")
    rows = read_jsonl(path)
    rows[1]["hypothesis"] = "x" + rows[1]["hypothesis"][1:]
    write_jsonl(path, reversed(rows))
    found = compare_selection(select([RESULTS]), replicates=100)
    assert [system.cer for system in found.systems] == [1 / 40, 1 / 40]
    first, second = sorted(found.findings.utterances, key=lambda each: each.id)
    assert (first.id, first.differences) == ("u0", {"ds2_selfattn": -1.0})
    assert (second.id, second.differences) == ("u1", {"ds2_selfattn": 1.0})
    assert str(one) in found.specs[0].run


@pytest.mark.parametrize(
    "row", [3, ["u1"], {"id": "u1"}, {"id": "u1", "reference": "THREE FOUR", "hypothesis": None}]
)
def test_a_row_that_is_no_utterance_is_one_line(row):
    run = leave("ds2", 0, 1)
    path = run.hypotheses_path("test", "greedy")
    rows = read_jsonl(path)
    rows[1] = row
    write_jsonl(path, rows)
    assert refusal() == (
        f"{path}: found a row without 'id', 'reference' and 'hypothesis'; run `asrbench eval` again"
    )


def compared():
    """Labels of what is comparable; label, reason and CER of what is not."""
    selection = select([RESULTS])
    found = compare_selection(selection, replicates=100)
    count = len(selection.not_comparable)
    assert [system.verdict for system in found.not_comparable] == [Verdict.NOT_COMPARABLE] * count
    assert [system.difference for system in found.not_comparable] == [None] * count
    return (
        [system.label for system in selection.systems],
        [(system.label, system.reason, system.cer) for system in found.not_comparable],
    )


def test_another_corpus_is_not_comparable():
    leave("ds2", 0, 1)
    leave("ds2_posattn", 0, 2)
    score(begin("ds2_selfattn", 0), wrong(3), corpus="0e" * 8)
    reason = "another corpus: 0e0e0e0e, not f1f1f1f1"
    assert compared() == (["ds2", "ds2_posattn"], [("ds2_selfattn", reason, 3 / 40)])


def test_another_profile_is_not_comparable_unless_one_is_asked_for():
    leave("ds2", 0, 1)
    leave("ds2_selfattn", 0, 1, more=["score.profile=nospace"])
    reason = "another profile: nospace/2, not verbatim/1"
    assert compared() == (["ds2"], [("ds2_selfattn", reason, 1 / 34)])
    asked = select([RESULTS], profile="nospace")
    assert (str(asked.profile), len(asked.systems), asked.not_comparable) == ("nospace/2", 2, ())


def test_another_split_is_not_comparable():
    leave("ds2", 0, 1)
    run = score(begin("ds2_selfattn", 0), wrong(2), split="dev")
    assert compared() == (["ds2"], [("ds2_selfattn", "another split: dev, not test", 2 / 40)])
    assert f"not evaluated on test: {run}; `asrbench eval {run}`" in notes()
    assert refusal("ds2_selfattn") == "--baseline: found 'ds2_selfattn', allowed: ds2"
    # A seed on the split is worth more than one beside it.
    score(begin("ds2_selfattn", 1), wrong(1))
    assert [len(system.runs) for system in select([RESULTS]).systems] == [1, 1]


def test_other_references_are_not_comparable(monkeypatch):
    leave("ds2", 0, 1)
    monkeypatch.setattr(scored_runs, "REFERENCES", ["ONE TWO AC", *REFERENCES[1:]])
    leave("ds2_selfattn", 0, 1)
    reason = "other references of test; score both with `asrbench eval` again"
    assert compared() == (["ds2"], [("ds2_selfattn", reason, 1 / 40)])


def test_what_is_not_comparable_is_in_every_table_and_in_no_figure():
    leave("ds2", 0, 1)
    leave("ds2_selfattn", 0, 3, more=["score.profile=nospace"])
    found = compare_selection(select([RESULTS]), replicates=100)
    assert "| ds2_selfattn | 4.01M | 8.82 |" in tables.markdown(found)
    assert "- ds2_selfattn: not comparable. Another profile: nospace/2" in tables.markdown(found)
    assert "ds2_selfattn,greedy,0,nospace/2,0.088235" in tables.comma_separated(found)
    assert "ds2\\_selfattn" in tables.latex(found)
    page = report.page(found)
    assert "Another profile: nospace/2, not verbatim/1." in page
    assert [picture.name for picture in pictures(found)] == ["rates", "learning"]
    assert [spec.run for spec in found.specs] == [each.run for each in found.environments]
    assert len(found.specs) == 2


@pytest.mark.parametrize(
    ("more", "corpus", "reason"),
    [
        ([], "0e" * 8, "another corpus: 0e0e0e0e, not f1f1f1f1"),
        (["score.profile=nospace"], "f1" * 8, "another profile: nospace/2, not verbatim/1"),
    ],
)
def test_seeds_that_were_scored_on_different_things_are_not_averaged(more, corpus, reason):
    one = leave("ds2", 0, 1)
    other = score(begin("ds2", 1, more=more), wrong(1), corpus=corpus)
    assert refusal() == (
        f"{one} and {other}: found two runs of ds2 with {reason}; name one of them"
    )


def test_versions_of_a_profile_are_not_mixed():
    """`nospace` once counted punctuation; a score of then says no version."""
    leave("ds2", 0, 1, more=["score.profile=nospace"])
    run = begin("ds2_selfattn", 0, more=["score.profile=nospace"])
    score(run, wrong(1), more={"profile": "nospace"})
    assert refusal() == (
        f"{run}: found scores under nospace/1, and 'nospace' is nospace/2 now; "
        f"`asrbench eval {run}` scores it again, --profile nospace recounts its hypotheses"
    )
    assert len(select([RESULTS], profile="nospace").systems) == 2


def test_another_profile_is_computed_from_the_hypotheses():
    """Of the 40 characters six are spaces and the edit is none of them: 1 / 34. What is stored
    is under another profile, and is no contradiction."""
    leave("ds2", 0, 1)
    selection = select([RESULTS], profile="nospace")
    assert rates(selection)[0] == 1 / 34
    found = compare_selection(selection, replicates=0)
    assert (found.n, found.systems[0].rate) == (34, 1 / 34)
    assert "N = 34 characters, profile nospace/2" in found.title
    assert selection.notes == (
        "checkpoints were chosen by dev CER under verbatim/1, not under nospace/2",
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
    means = {p: rates(select([RESULTS], profile=p))[0] for p in (None, *PROFILES)}
    assert means == {
        None: 0 / 5,
        "nospace": 0 / 5,
        "espnet": 0 / 5,
        "readings": 0 / 5,
        "verbatim": 0 / 5,
        "kospeech": 2 / 6,
    }


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
    assert select([one.folder]).systems[0].runs[0].run == one


def test_run_named_twice_counts_once(tmp_path):
    run = leave("ds2", 0, 1)
    selection = select([RESULTS, run.folder, tmp_path / run.folder])
    assert len(selection.systems[0].runs) == 1


def test_run_without_a_score_is_left_out_and_named():
    leave("ds2", 0, 1)
    run = begin("ds2_selfattn", 0)
    selection = select([RESULTS])
    assert [system.label for system in selection.systems] == ["ds2"]
    assert selection.notes == (f"not evaluated on test: {run}; `asrbench eval {run}`",)


def test_run_without_hypotheses_is_left_out_and_named():
    leave("ds2", 0, 1)
    run = leave("ds2_selfattn", 0, 1)
    path = run.hypotheses_path("test", "greedy")
    path.unlink()
    assert notes() == (f"left out: {path} is missing; `asrbench eval {run}`",)


def test_no_score_at_all_says_what_to_run():
    begin("ds2", 0)
    assert refusal() == "results: found no scores; `asrbench eval results` makes them"


def test_weights_that_the_dev_set_did_not_choose_make_its_rates_no_better():
    """Under `last`, neither the split nor the profile of the dev CERs has a say."""
    last = ["train.weights.kind=last"]
    score(begin("ds2", 0, more=last), wrong(4), split="dev", more={"checkpoint": "last"})
    assert select([RESULTS]).notes == ()
    assert select([RESULTS], profile="nospace").notes == ()


def test_weights_by_another_rule_than_that_of_the_spec_are_noted():
    """The second of two epochs is the best and the last, whichever the rule."""
    run = begin("ds2", 0, more=["train.weights.kind=last"])
    score(run, wrong(1), more={"checkpoint": "best", "epoch": 1})
    assert notes() == (
        f"{run}: scored from its best checkpoint, not its last",
        f"{run}: scored after epoch 1, its last is now 2; `asrbench eval {run}`",
    )


def test_split_is_test_by_default():
    run = score(begin("ds2", 0), wrong(4), split="dev")
    selection = select([RESULTS])
    assert selection.split == "dev"
    assert selection.notes == (
        "the dev set also chose the checkpoint, so error rates on it are optimistic",
    )
    score(run, wrong(1))
    assert select([RESULTS]).split == "test"
    assert rates(select([RESULTS], split="dev"))[0] == pytest.approx(4 / 40)
    assert refusal(split="train") == (
        "--split: found 'train', scored: dev, test; `asrbench eval results` scores another"
    )


def test_stored_score_that_its_hypotheses_do_not_give_is_noted():
    run = score(begin("ds2", 0), wrong(4), more={"cer": 0.05})
    selection = select([RESULTS])
    assert rates(selection)[0] == pytest.approx(4 / 40)
    assert compare_selection(selection, replicates=0).notes == (
        f"{run}: scores.json says CER 5.0000 % (greedy), its hypotheses give 10.0000 %, "
        f"which is used",
    )


def test_unfinished_run_is_noted():
    run = leave("ds2", 0, 1, epochs=5)
    assert notes() == (f"unfinished, 2 of 5 epochs: {run}",)


def test_a_plugin_belongs_to_the_model_that_it_registers():
    leave("ds2", 0, 1)
    run = leave("ds2_selfattn", 0, 1)
    spec = run.spec_path.read_text(encoding="utf-8")
    plugin = "plugins:\n- path: mine.py\n  digest: 0123456789abcdef\n"
    assert "plugins: []\n" in spec
    run.spec_path.write_text(spec.replace("plugins: []\n", plugin), encoding="utf-8")
    assert not any("plugins" in note for note in notes())


def test_what_else_differs_is_noted():
    leave("ds2", 0, 1)
    leave(
        "ds2_selfattn", 0, 1, more=["train.optimizer.lr=1e-3", "model.encoder.recurrence.layers=2"]
    )
    assert "variants differ in more than the model: train.optimizer.lr" in notes()


def test_machines_and_commits_that_differ_are_noted():
    leave("ds2", 0, 1, env={"commit": "aaaaaaaaaa"})
    leave("ds2_selfattn", 0, 1, env={"commit": "bbbbbbbbbb", "threads": 16})
    assert notes()[1:] == (
        "runs differ in threads (16, 2), which changes the time of a step",
        "runs come from different commits: aaaaaaaa, bbbbbbbb",
    )


def test_few_seeds_are_noted():
    leave("ds2", 0, 1)
    leave("ds2_selfattn", 0, 2)
    assert notes() == (
        "all variants have only 1 seed: their variance between training seeds is unknown",
    )
    for variant, seed in (("ds2", 1), ("ds2", 2), ("ds2_selfattn", 1), ("ds2_selfattn", 2)):
        leave(variant, seed, 1)
    assert notes() == ()


def test_no_torch_is_imported():
    code = (
        "import asrbench.stages.compare.selection, sys; "
        "assert not {'torch', 'matplotlib'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
