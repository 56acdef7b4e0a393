"""The largest wins and losses; all findings at once, of real runs too."""

import json
from dataclasses import astuple
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from asrbench.analysis.degenerate import DegeneratePairs
from asrbench.analysis.findings import Findings, analyse
from asrbench.analysis.pairs import Pairs
from asrbench.analysis.utterances import by_utterance, largest
from asrbench.base.errors import UserError
from asrbench.base.records import to_json
from asrbench.scoring.counted_text import counted, worded
from asrbench.scoring.edit_counts import character_errors
from asrbench.scoring.hypotheses import read_transcripts

RUNS = Path(__file__).parent.parent / "results" / "published" / "an4"


def table(references, systems, ids=None, **others):
    pairs = Pairs.of(references, systems)
    names = ids or [f"u{u}" for u in range(len(references))]
    return by_utterance(pairs, DegeneratePairs.of(pairs), names, "a", **others)


def test_wins_and_losses_by_hand():
    """b has 0 and 1 errors where a has 2, and 4 where a has none; between them they are even in
    u1. The loss of 4 comes before the win of 3 / 2."""
    loss, win = table(
        ["가나다", "라", "마바사아"],
        {
            "a": [["카타다", "파", "마바사아"]],
            "b": [["가나다", "하", ""], ["가나타", "라", ""]],
        },
        speakers_U=["x", "y", "z"],
        durations_s=[1.5, 0.5, 2],
        most=1,
    )
    assert (loss.id, loss.differences, loss.errors) == ("u2", {"b": 4.0}, {"a": 0.0, "b": 4.0})
    assert json.loads(to_json(win)) == {
        "id": "u0",
        "reference": "가나다",
        "speaker": "x",
        "duration_s": 1.5,
        "n": 3,
        "errors": {"a": 2.0, "b": 1 / 2},
        "differences": {"b": -3 / 2},
        "systems": {
            "a": [
                {
                    "hypothesis": "카타다",
                    "errors": 2,
                    "degenerate": [],
                    "segments": [
                        {"kind": "substitute", "reference": "가나", "hypothesis": "카타"},
                        {"kind": "equal", "reference": "다", "hypothesis": "다"},
                    ],
                }
            ],
            "b": [
                {
                    "hypothesis": "가나다",
                    "errors": 0,
                    "degenerate": [],
                    "segments": [{"kind": "equal", "reference": "가나다", "hypothesis": "가나다"}],
                },
                {
                    "hypothesis": "가나타",
                    "errors": 1,
                    "degenerate": [],
                    "segments": [
                        {"kind": "equal", "reference": "가나", "hypothesis": "가나"},
                        {"kind": "substitute", "reference": "다", "hypothesis": "타"},
                    ],
                },
            ],
        },
    }
    assert [each.degenerate for each in loss.systems["b"]] == [("empty",), ("empty",)]


def test_the_largest_by_hand():
    differences = np.array([0, -3.0, 2, -1, 2, 5])
    assert largest(differences, list("abcdef"), most=2) == [5, 1, 2, 3]
    assert largest(differences, list("fedcba"), most=2) == [5, 1, 4, 3]
    assert largest(np.zeros(3), list("abc")) == []


def test_a_system_alone_shows_its_errors():
    rows = table(["abc", "abc", "abc"], {"a": [["abc", "x", "axc"]]})
    assert [(row.id, row.errors["a"], row.differences) for row in rows] == [
        ("u1", 3.0, {}),
        ("u2", 1.0, {}),
    ]


def test_what_never_learned_chooses_no_utterance():
    references = ["abc", "abc", "abc"]
    systems = {"a": [references], "b": [["abc", "ab", "abc"]], "c": [["x", "x", "x"]]}
    (row,) = table(references, systems, untrained=["c"])
    assert (row.id, row.differences) == ("u1", {"b": 1.0, "c": 3.0})
    assert len(table(references, systems)) == 3


def test_studies_of_many_runs_show_fewer_utterances():
    references, texts = ["abcd"] * 6, ["xbcd", "xxcd", "xxxd", "xxxx", "", "abcd"]
    systems = {"a": [references] * 2, "b": [texts]}
    assert len(table(references, systems)) == 5
    assert [row.id for row in table(references, systems, most_hypotheses=6)] == ["u3", "u4"]
    assert len(table(references, systems, most_hypotheses=1)) == 1


texts = st.text(alphabet="가각 ab", max_size=6)
rows = st.lists(st.tuples(texts, texts, texts, texts), min_size=2, max_size=6)


def findings(rows, order=None, form="NFC"):
    at = range(len(rows)) if order is None else order
    columns = [[normalize(form, rows[u][i]) for u in at] for i in range(4)]
    return analyse(
        [f"u{u}" for u in at],
        columns[0],
        {"a": [columns[1]], "b": [columns[2], columns[3]]},
        "a",
        durations_s=[1 + u for u in at],
        speakers=["xy"[u % 2] for u in at],
        replicates=20,
    )


@given(rows, st.randoms(use_true_random=False))
def test_order_and_form_move_nothing_but_what_is_drawn(rows, random):
    order = list(range(len(rows)))
    random.shuffle(order)
    one, other = findings(rows), findings(rows, order, "NFD")
    assert one.kinds == other.kinds
    assert one.utterances == other.utterances
    assert {each.speaker: each for each in one.speakers} == {
        each.speaker: each for each in other.speakers
    }


@given(rows)
def test_all_of_it_is_json(rows):
    found = findings(rows)
    assert TypeAdapter(Findings).validate_json(to_json(found)) == found


def test_intervals_draw_speakers_only_where_all_are_known():
    """One speaker has said it all, or one is unknown: utterances are drawn."""
    references = ["abcde", "abc", "ab", "abcdefg"]
    systems = {"a": [["abxde", "abc", "b", "abc"]]}

    def interval(speakers):
        found = analyse("0123", references, systems, "a", speakers=speakers, replicates=300)
        return found.lengths.reference_length.bins[0].systems["a"].interval

    assert interval(["x"] * 4) == interval(["x", "x", "y", None]) == interval(None)
    assert interval(["x", "x", "y", "y"]) != interval(None)


def test_what_never_learned_has_rates_and_no_interaction():
    references = ["abcde", "abc", "ab", "abcdefg"]
    systems = {"a": [["abxde", "abc", "b", "abc"]], "b": [references], "c": [[""] * 4]}
    durations = [2.0, 1.0, 0.5, 3.0]
    found = analyse(
        "0123", references, systems, "a", durations_s=durations, replicates=300, untrained=["c"]
    )
    for part in (found.lengths.duration, found.lengths.reference_length):
        assert list(part.interactions) == ["b"]
        assert all(each.systems["c"].cer == 1 for each in part.bins)


def test_an_unknown_baseline_is_one_line():
    with pytest.raises(UserError) as caught:
        analyse(["u"], ["a"], {"ds2": [["a"]]}, "ds")
    assert str(caught.value) == "baseline: found 'ds', allowed: ds2; did you mean 'ds2'?"


@pytest.mark.parametrize("profile", ["verbatim", "nospace"])
def test_the_committed_runs_are_analysed_to_the_last_edit(profile):
    """Totals are those of the scorer, run by run, and words have edges without spaces too."""
    paths = {
        path.parent.parent.name: path for path in sorted(RUNS.glob("*/*/hypotheses.test.jsonl"))
    }
    assert "ds2" in paths
    references = read_transcripts(paths["ds2"], "reference")
    hypotheses = {label: list(read_transcripts(path).values()) for label, path in paths.items()}
    found = analyse(
        list(references),
        [counted(text, profile) for text in references.values()],
        {
            label: [[counted(text, profile) for text in texts]]
            for label, texts in hypotheses.items()
        },
        "ds2",
        words=[worded(text, profile) for text in references.values()],
        speakers=[name.split("-")[0] for name in references],
        replicates=50,
    )
    for label, texts in hypotheses.items():
        counts = character_errors(list(references.values()), texts, profile)
        kinds = found.kinds[label]
        assert (kinds.substitutions, kinds.deletions, kinds.insertions, kinds.n) == astuple(counts)
        assert kinds.edges.edge_symbols > kinds.edges.inner_symbols / 4 > 0
        assert (kinds.spaces is None) == (profile == "nospace")
        assert kinds.jamo is None
        bins = found.lengths.reference_length.bins
        assert sum(each.systems[label].cer * each.n for each in bins) == pytest.approx(
            counts.errors
        )
    for row in found.utterances:
        assert row.differences == {
            label: errors - row.errors["ds2"]
            for label, errors in row.errors.items()
            if label != "ds2"
        }
