"""The figures of a study: which are drawn, their captions and their data."""

from dataclasses import replace
from fractions import Fraction
from itertools import product
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from studies import study, without_lengths

from asrbench.analysis.subsets import SubsetRate
from asrbench.report.plots.panels import pareto, spread
from asrbench.report.plots.study import (
    COLUMN_INCHES,
    DOTS_PER_INCH,
    MOST_SYSTEMS,
    Picture,
    draw,
    pictures,
    rendered,
)
from asrbench.report.study import Curve, SystemCost

ALL = [
    *("rates", "differences", "cost_time", "cost_flops", "cost_parameters"),
    *("learning", "length_seconds", "length_characters"),
]


@pytest.fixture(scope="module")
def whole():
    return study()


def named(found, name) -> Picture:
    (picture,) = (picture for picture in pictures(found) if picture.name == name)
    return picture


def axes_of(picture):
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    picture.draw(axes)
    return axes


def texts(axes):
    return [text.get_text() for text in axes.texts]


# Files


def test_each_figure_is_a_png_of_a_column_and_an_svg(whole, tmp_path):
    paths = draw(whole, tmp_path)
    assert [path.name for path in paths] == [f"{n}{s}" for n in ALL for s in (".png", ".svg")]
    for png, svg in zip(paths[::2], paths[1::2], strict=True):
        assert imread(png).shape[1] == round(COLUMN_INCHES * DOTS_PER_INCH)
        assert ElementTree.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_the_same_study_is_the_same_file(whole):
    for suffix in (".png", ".svg"):
        one, other = (rendered(named(whole, "differences"), suffix) for _ in range(2))
        assert one == other


def test_every_caption_states_its_data(whole):
    for picture in pictures(whole):
        assert "seeds 0, 1, 2" in picture.caption
        assert "profile verbatim/1" in picture.caption
        if picture.name == "learning":
            assert "dev, N = 1,950 characters" in picture.caption
        else:
            assert f"N = {whole.n:,} characters" in picture.caption
            assert "40 utterances of 5 speakers" in picture.caption


# What a study lacks


def test_a_figure_without_its_data_is_not_drawn(whole):
    cost = SystemCost(*[None] * 7)
    systems = tuple(replace(system, curves=(), cost=cost) for system in whole.systems)
    bare = replace(whole, systems=systems, findings=None)
    assert [picture.name for picture in pictures(bare)] == ALL[:2]
    no_bins = replace(bare, findings=without_lengths(whole.findings))
    assert [picture.name for picture in pictures(no_bins)] == ALL[:2]
    alone = replace(bare, systems=systems[:1])
    assert [picture.name for picture in pictures(alone)] == ALL[:1]
    assert "speakers" not in named(replace(whole, speakers=None), "rates").caption


def test_bins_without_a_rate_or_an_interval_are_gaps(whole):
    lengths = whole.findings.lengths
    first, *others = lengths.duration.bins
    gap = replace(first, systems=first.systems | {"ds2": SubsetRate(None, None)})
    duration = replace(lengths.duration, bins=(gap, *others))
    findings = replace(whole.findings, lengths=replace(lengths, duration=duration))
    axes = axes_of(named(replace(whole, findings=findings), "length_seconds"))
    line = {line.get_label(): list(line.get_ydata()) for line in axes.lines}["ds2"]
    assert line[0] != line[0]
    assert line[1] == 100 * others[0].systems["ds2"].cer


# What they show


def test_every_seed_is_a_dot_and_untrained_seeds_are_written(whole):
    axes = axes_of(named(whole, "rates"))
    seeds = [sorted(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "None"]
    for drawn, system in zip(seeds, whole.systems, strict=True):
        learned = [100 * run.rate for run in system.runs if run.failure is None]
        assert drawn == pytest.approx(sorted(learned))
    failed = [100 * run.rate for run in whole.systems[-1].runs]
    assert texts(axes) == [f"not trained: {', '.join(f'{rate:.0f}' for rate in failed)} %"]
    # Drawn to scale it would compress the others.
    assert axes.get_xlim()[1] < 20


def test_the_forest_says_every_verdict_in_words(whole):
    axes = axes_of(named(whole, "differences"))
    assert texts(axes) == ["better", "no evidence", "worse", "not comparable", "not trained"]
    (zero, *points) = (list(line.get_xdata()) for line in axes.lines)
    compared = [system.difference for system in whole.systems if system.difference]
    assert zero == [0, 0]
    assert [x for (x,) in points] == pytest.approx([100 * each.delta for each in compared])


def test_words_are_scored_in_words(whole):
    """All but what is counted in characters whatever the unit: the curves, and CER by length."""
    systems = tuple(replace(system, rate=system.wer) for system in whole.systems)
    words = replace(whole, unit="word", n=203, systems=systems)
    assert axes_of(named(words, "rates")).get_xlabel() == "WER (%)"
    assert axes_of(named(words, "differences")).get_xlabel() == "WER points, variant minus ds2"
    cost = named(words, "cost_time")
    assert cost.title.startswith("WER against")
    drawn = {line.get_label(): line.get_ydata()[0] for line in axes_of(cost).lines}
    assert drawn["ds2"] == pytest.approx(100 * whole.systems[0].wer)
    for name in ("rates", "differences", "cost_time"):
        assert "N = 203 words" in named(words, name).caption
    characters = sum(each.n for each in whole.findings.lengths.duration.bins)
    assert f"N = {characters:,} characters" in named(words, "length_seconds").caption


def test_a_panel_shows_a_few_of_many_systems_and_says_so():
    many = study(variants=12)
    caption = named(many, "learning").caption
    assert "7 of 12 systems: ds2, and those furthest from it." in caption
    assert len(axes_of(named(many, "length_seconds")).lines) == MOST_SYSTEMS
    rows = axes_of(named(many, "rates")).get_yticklabels()
    assert len(rows) == 12


def test_the_family_is_of_those_that_were_compared(whole):
    assert "the number of variants compared, 3 (Holm)" in named(whole, "differences").caption


def test_an_interval_that_is_not_known_is_not_drawn(whole):
    systems = tuple(replace(system, interval=None) for system in whole.systems)
    unknown = replace(whole, systems=systems)
    for name in ("rates", "cost_time"):
        assert len(axes_of(named(unknown, name)).collections) < len(
            axes_of(named(whole, name)).collections
        )


def test_labels_of_any_alphabet_are_drawn(whole):
    systems = (replace(whole.systems[0], label="기준 <b>$x^2$"), *whole.systems[1:])
    assert rendered(named(replace(whole, systems=systems), "rates"), ".png")


# Pareto front


def test_pareto_by_hand():
    points = [(3, 2), (1, 5), (2, 6), (2, 4), (4, 2), (5, 1)]
    assert pareto(points) == [(1, 5), (2, 4), (3, 2), (5, 1)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_nothing_beats_the_front_and_it_beats_all_else(points):
    front = pareto(points)

    def beats(one, other):
        return one != other and one[0] <= other[0] and one[1] <= other[1]

    assert not any(beats(one, other) for one, other in product(points, front))
    beaten = set(points) - set(front)
    assert all(any(beats(one, other) for one in front) for other in beaten)


# Learning


def test_spread_uses_the_epochs_that_all_seeds_have():
    curves = [
        Curve(0, (1, 2, 3), (0.5, 0.25, 0.125), (None,) * 3),
        Curve(1, (1, 2), (0.75, 0.125), (None,) * 2),
    ]
    epochs, means, least, greatest = spread(curves)
    assert epochs == [1, 2]
    assert means == [100 * Fraction(5, 8), 100 * Fraction(3, 16)]
    assert (least, greatest) == ([50, 12.5], [75, 25])
    assert spread([]) == ([], [], [], [])
