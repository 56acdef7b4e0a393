"""Alignment and MAPSSWE against NIST's SCTK.

Its golden files and the figures here come from SCTK at commit 9688a26, github.com/usnistgov/SCTK,
which NIST has put in the public domain (DISCLAIMER, LICENSE.md: use, copy and distribute, with NIST
named as the source). Of its texts only the short excerpts below are carried.
"""

from collections.abc import Sequence
from random import Random

import jiwer
import kaldialign
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.stats.edit_alignment import EditAlignment, align
from asrbench.stats.mapsswe import CHARACTER_BUFFER, WORD_BUFFER, mapsswe

few = st.lists(st.sampled_from("abc"), max_size=9)
pairs = st.lists(st.tuples(few, few, few), min_size=1, max_size=6)


def codes_of(alignment: EditAlignment, run: int = 0) -> list[int]:
    return alignment.errors_RL[run].tolist()


def slots(codes: str) -> list[int]:
    """sclite's codes C, S, D and I of one utterance as errors before, at and after each token."""
    found = [0]
    for code in codes:
        if code == "I":
            found[-1] += 1
        else:
            found += [int(code != "C"), 0]
    return found


def alignment_of(runs: Sequence[Sequence[str]]) -> EditAlignment:
    """Of runs of which each is the codes of its utterances, whatever the tokens were."""
    lengths = [sum(code != "I" for code in codes) for codes in runs[0]]
    equal = align(["c" * n for n in lengths], [["c" * n for n in lengths]])
    errors = [[slot for codes in run for slot in slots(codes)] for run in runs]
    return EditAlignment(np.array(errors), equal.utterance_L, equal.begin_L, equal.end_L)


def plainly(reference: Sequence[str], hypothesis: Sequence[str]) -> str:
    """sclite's recurrence cell by cell, and its way back."""
    costs = {(0, 0): 0}
    codes = {}
    for m in range(len(reference) + 1):
        for n in range(len(hypothesis) + 1):
            same = m and n and reference[m - 1] == hypothesis[n - 1]
            ways = []
            if m and n:
                ways.append((costs[m - 1, n - 1] + (0 if same else 4), 0, "C" if same else "S"))
            if n:
                ways.append((costs[m, n - 1] + 3, 1, "I"))
            if m:
                ways.append((costs[m - 1, n] + 3, 2, "D"))
            if ways:
                costs[m, n], _, codes[m, n] = min(ways)
    m, n, back = len(reference), len(hypothesis), ""
    while m or n:
        code = codes[m, n]
        back += code
        m, n = m - (code != "I"), n - (code != "D")
    return back[::-1]


# Alignment


@pytest.mark.parametrize(
    ("reference", "hypothesis", "codes"),
    [
        (
            "FOR A TWO TRILLION DOLLAR BUSINESS BUILT ON PUBLIC CONFIDENCE THIS TREND IS "
            "DISHEARTENING AT BEST",
            "FREED TO TRYING TO LURE BUSINESS BUILT ON PUBLIC CONFIDENCE THIS TREND IS "
            "THIS TIGHTENING AND BEST",
            "SSSSSCCCCCCCCISSC",
        ),
        (
            "BY FUND MANAGERS UNSAVORY FUND SALES PRACTICES AT BANKS AND THE USE",
            "BY FUND MANAGERS AND SAVE REFUND SALES PRACTICES AT BANKS AND USE",
            "CCCISSCCCCCDC",
        ),
        (
            "IN THE LATEST BLOW TO PUBLIC CONFIDENCE IN THE FUNDS SOMEONE AT INDUSTRY TITAN",
            "IN THE LATEST FLORIDA PUBLIC CONFIDENCE IN THE FUNDS' SOME ON THE INDUSTRY TIGHTEN",
            "CCCDSCCCCISSSCS",
        ),
        (
            "SHAREHOLDERS WERE LIED TO IN VARYING DEGREES IF THEY LOOKED AT THEIR FUND PRICES",
            "SHAREHOLDERS RELIED TOO IN VARYING DEGREES AT THE LITTLE DIFFERENT PRICES",
            "CDSSCCCDDDCISSC",
        ),
    ],
)
def test_sclite_published_alignments(reference, hypothesis, codes):
    """From src/sclite/testdata/base/test1.pra, utterances 4t0c0202, -03, -04 and -07, cut to where
    the errors are."""
    found = align([reference.split()], [[hypothesis.split()]])
    assert codes_of(found) == slots(codes)


def test_substitutions_give_way_to_insertions_and_deletions():
    """`abcde` to `dexyz` costs 20 by five substitutions and 18 by `abc` out and `xyz` in, six
    errors where unit costs find five. `abc` to `cxy` costs 12 either way, and the tie goes to
    three substitutions."""
    assert codes_of(align(["abcde"], [["dexyz"]])) == slots("DDDCCIII")
    assert jiwer.process_characters("abcde", "dexyz").substitutions == 5
    assert codes_of(align(["abc"], [["cxy"]])) == slots("SSS")


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5])
def test_long_texts_are_aligned_as_cell_by_cell(rate):
    """Where only a band of the cells is filled, with ties in plenty: three symbols."""
    random = Random(7)
    references = ["".join(random.choices("ab ", k=k)) for k in (1, 30, 60, 61, 90)]
    hypotheses = [
        "".join(c if random.random() >= rate else random.choice(["", "b", f"{c}a"]) for c in text)
        for text in references
    ]
    expected = [
        slot
        for reference, hypothesis in zip(references, hypotheses, strict=True)
        for slot in slots(plainly(reference, hypothesis))
    ]
    assert codes_of(align(references, [hypotheses])) == expected


def test_ties_go_to_the_match_nearest_the_end():
    """Where kaldialign puts the insertion behind."""
    assert codes_of(align(["a"], [["aa"]])) == slots("IC")
    assert kaldialign.align("a", "aa", "*", sclite_mode=True) == [("a", "a"), ("*", "a")]


@given(pairs)
def test_alignment_as_by_the_plain_recurrence(triples):
    references = [reference for reference, _, _ in triples]
    runs = [[triple[k] for triple in triples] for k in (1, 2)]
    found = align(references, runs)
    for run, hypotheses in enumerate(runs):
        codes = [plainly(r, h) for r, h in zip(references, hypotheses, strict=True)]
        assert codes_of(found, run) == [slot for each in codes for slot in slots(each)]


@given(pairs)
def test_costs_are_those_of_kaldialign_and_errors_no_fewer_than_jiwers(triples):
    for reference, hypothesis, _ in triples:
        errors = codes_of(align([reference], [[hypothesis]]))
        found = kaldialign.edit_distance(reference, hypothesis, sclite_mode=True)
        insertions, at_tokens = sum(errors[::2]), sum(errors[1::2])
        deletions = len(reference) + insertions - len(hypothesis)
        costs = 3 * insertions + 3 * deletions + 4 * (at_tokens - deletions)
        assert costs == 3 * (found["ins"] + found["del"]) + 4 * found["sub"]
        if reference:
            out = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
            assert sum(errors) >= out.substitutions + out.deletions + out.insertions


def test_alone_as_among_others_of_any_length():
    random = Random(3)
    texts = ["".join("ab c"[int(4 * random.random())] for _ in range(n)) for n in range(0, 300, 7)]
    others = texts[::-1]
    found = align(texts, [others, texts])
    alone = [codes_of(align([r], [[h]])) for r, h in zip(texts, others, strict=True)]
    assert codes_of(found) == [slot for each in alone for slot in each]
    assert not found.errors_RL[1].any()


def test_no_utterances_are_aligned_to_nothing():
    assert align([], [[], []]).errors_RL.shape == (2, 0)


# Segments


NIST = (["I", "CDSCSSSCCDCII"], ["", "CDSCSSSCCSS"])
"""The two utterances of src/sclite/testdata/file1.sgml and file2.sgml, systems itmono_8 and
itword_20, as aligned there (with optionally deletable words, which are correct)."""


def test_nist_golden_file():
    """base_sc_stats/test1a.stats.mapsswe and test1b: 3 segments, mean 0.667, standard deviation
    0.577, Z 2.000 one way round and -2.000 the other."""
    alignment = alignment_of(NIST)
    found = mapsswe(alignment, 0, 1, WORD_BUFFER)
    assert found.segments == 3
    assert [f"{x:.3f}" for x in (found.mean, found.deviation, found.z)] == [
        "0.667",
        "0.577",
        "2.000",
    ]
    assert f"{mapsswe(alignment, 1, 0, WORD_BUFFER).z:.3f}" == "-2.000"


def drawn(random: Random, text: list[str], share: float) -> list[str]:
    """A hypothesis with about `share` each of deletions, substitutions and insertions."""
    out = []
    for token in text:
        chance = random.random()
        if chance < share:
            continue
        out.append("abcde"[int(5 * random.random())] if chance < 2 * share else token)
        if chance > 1 - share:
            out.append("abcde"[int(5 * random.random())])
    if not text and random.random() < 0.5:
        out.append("a")
    return out if random.random() > 0.05 else []


def drawn_study() -> tuple[list[list[str]], list[list[list[str]]]]:
    """Texts of few different words, so that many alignments tie; some of them empty."""
    random = Random(11)
    references = [
        ["abcde"[int(5 * random.random())] for _ in range(max(0, int(26 * random.random()) - 1))]
        for _ in range(200)
    ]
    shares = (0.02, 0.04, 0.15)
    return references, [[drawn(random, text, share) for text in references] for share in shares]


@pytest.mark.parametrize(
    ("one", "other", "figures"),
    [
        (0, 1, "306 -0.294 3.155 -1.631"),
        (0, 2, "499 -1.563 2.844 -12.280"),
        (1, 2, "528 -1.307 2.726 -11.015"),
    ],
)
def test_sctk_on_texts_full_of_ties(one, other, figures):
    """Segments, mean, standard deviation and Z as `sclite -i rm -o sgml` and `sc_stats -p -t
    mapsswe -v`, compiled from that commit, printed them of `drawn_study`."""
    alignment = align(*drawn_study())
    found = mapsswe(alignment, one, other, WORD_BUFFER)
    printed = f"{found.segments} {found.mean:.3f} {found.deviation:.3f} {found.z:.3f}"
    assert printed == figures


@pytest.mark.parametrize(
    ("runs", "buffer", "differences"),
    [
        # One word right does not part two errors, two do.
        ((["SCSCC"], ["CCCCC"]), 2, [2]),
        ((["SCCSC"], ["CCCCC"]), 2, [1, 1]),
        ((["SCCSC"], ["CCCCC"]), 3, [2]),
        # Right in both, that is.
        ((["SCCSC"], ["CCSCC"]), 2, [1]),
        # An inserted word restarts the count, and is in the segment before the next word.
        ((["SCICSC"], ["CCCCC"]), 2, [3]),
        ((["SCCISC"], ["CCCCC"]), 2, [1, 2]),
        # Utterances end segments, and a segment with as many errors in both stays.
        ((["SC", "CS"], ["CC", "CS"]), 2, [1, 0]),
        # After the last word there may be errors yet, and there need be no word at all.
        ((["CCCII", ""], ["CCC", "I"]), 2, [2, -1]),
    ],
)
def test_segments_by_hand(runs, buffer, differences):
    found = mapsswe(alignment_of(runs), 0, 1, buffer)
    assert found.segments == len(differences)
    assert found.mean == pytest.approx(np.mean(differences))
    if len(differences) > 1:
        assert found.deviation == pytest.approx(np.std(differences, ddof=1))


def test_z_and_p_by_hand():
    """Differences 1, 1, 1, -1: mean 1/2, variance 3 (1/2)**2 + (3/2)**2 over 3 = 1, so z = 1/2 over
    1/2 = 1, whose two-sided p is 0.3173."""
    found = mapsswe(alignment_of((["S", "S", "S", "C"], ["C", "C", "C", "S"])), 0, 1, 2)
    assert found.z == pytest.approx(1)
    assert found.p == pytest.approx(0.317311, abs=1e-6)


@pytest.mark.parametrize("runs", [(["S", "S"], ["C", "C"]), (["S"], ["C"]), (["C"], ["C"])])
def test_without_spread_there_is_no_z(runs):
    found = mapsswe(alignment_of(runs), 0, 1, 2)
    assert (found.z, found.p, found.deviation) == (0, 1, 0)


@given(pairs, st.integers(1, 4))
def test_every_error_lies_in_one_segment_and_longer_buffers_make_fewer(triples, buffer):
    references = [reference for reference, _, _ in triples]
    alignment = align(references, [[triple[k] for triple in triples] for k in (1, 2)])
    found = mapsswe(alignment, 0, 1, buffer)
    first, second = alignment.errors_RL.sum(axis=1)
    assert found.mean * found.segments == pytest.approx(first - second)
    assert mapsswe(alignment, 0, 1, buffer + 1).segments <= found.segments
    other = mapsswe(alignment, 1, 0, buffer)
    assert (other.z, other.p) == pytest.approx((-found.z, found.p))


def test_words_and_characters_have_buffers_of_their_own():
    """Two errors with one word between them: one segment by character, two by word."""
    reference, hypothesis = "to be or not to", "do be or not do"
    words = align([reference.split()], [[hypothesis.split()], [reference.split()]])
    assert mapsswe(words, 0, 1, WORD_BUFFER).segments == 2
    assert mapsswe(align(["ab cd"], [["xb cx"], ["ab cd"]]), 0, 1, CHARACTER_BUFFER).segments == 1


def test_a_buffer_of_nothing_is_refused():
    with pytest.raises(ValueError, match="buffer: found 0, allowed: 1 or more"):
        mapsswe(align(["a"], [["a"], ["b"]]), 0, 1, 0)
