"""The figures of a study: which are drawn, their captions and their data."""

from dataclasses import replace
from fractions import Fraction
from itertools import product
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from studies import VARIANTS, study, without_lengths

from asrbench.report.plots.base import COLOURS, MARKERS, look
from asrbench.report.plots.panels import looks, pareto, spread
from asrbench.report.plots.study import (
    COLUMN_INCHES,
    DOTS_PER_INCH,
    MOST_PANELS,
    MOST_SYSTEMS,
    Picture,
    draw,
    pictures,
    rendered,
)
from asrbench.report.study import Curve, SystemCost
from asrbench.stats.verdicts import Verdict

ALL = [
    *("rates", "differences", "cost_time", "cost_flops", "cost_rtf", "cost_parameters"),
    *("learning", "length_seconds", "length_characters"),
]


@pytest.fixture(scope="module")
def whole():
    return study()


def named(found, name) -> Picture:
    (picture,) = (picture for picture in pictures(found) if picture.name == name)
    return picture


def axes_of(picture, panel=0):
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    picture.panels[panel](axes)
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


def test_a_paper_has_a_pdf_of_each_figure_without_its_words(whole, tmp_path):
    """Fonts of type 42 are embedded; the text of a PDF is text, so titles can be looked for."""
    paths = [path for path in draw(whole, tmp_path, paper=True) if path.suffix == ".pdf"]
    assert [path.stem for path in paths] == ALL
    for path, picture in zip(paths, pictures(whole), strict=True):
        content = path.read_bytes()
        assert b"/CIDFontType2" in content or b"/TrueType" in content
        assert b"/FontFile2" in content
        assert b"/Type3" not in content
        assert b"/Image" not in content.replace(b"/ImageB /ImageC /ImageI", b"")
        assert len(rendered(picture, ".svg", bare=True)) < len(rendered(picture, ".svg"))


def test_the_same_study_is_the_same_file(whole):
    for suffix in (".png", ".svg", ".pdf"):
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


def test_a_bin_without_a_difference_is_a_gap(whole):
    lengths = whole.findings.lengths
    first, *others = lengths.duration.bins
    duration = replace(lengths.duration, bins=(replace(first, differences={}), *others))
    findings = replace(whole.findings, lengths=replace(lengths, duration=duration))
    picture = named(replace(whole, findings=findings), "length_seconds")
    axes = axes_of(picture)
    assert axes.get_title(loc="left") == "ds2_selfattn"
    # A line for the bin and one for its interval.
    assert len(axes.collections) == 2 * len(others)
    for drawn, each in zip(axes.collections[1::2], others, strict=True):
        ((one, other),) = drawn.get_segments()
        difference = each.differences["ds2_selfattn"]
        assert tuple(one) == pytest.approx((each.low, 100 * difference.delta))
        assert tuple(other) == pytest.approx((each.high, 100 * difference.delta))


def test_lengths_are_small_multiples_of_what_is_compared(whole):
    picture = named(whole, "length_characters")
    titles = [axes_of(picture, k).get_title(loc="left") for k in range(len(picture.panels))]
    compared = whole.findings.lengths.reference_length.bins[0].differences
    assert titles == [system.label for system in whole.systems if system.label in compared]
    assert "ds2" not in titles
    many = study(variants=20)
    picture = named(many, "length_seconds")
    assert len(picture.panels) == MOST_PANELS
    assert "7 systems that differ less are left out." in picture.caption


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
    assert named(many, "learning").keys == MOST_SYSTEMS
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


# Colours


def test_a_variant_has_one_colour_in_every_figure(whole):
    searched = replace(whole.systems[1], label="ds2_selfattn [joint]", decode="joint")
    systems = (*whole.systems[:2], searched, *whole.systems[2:])
    found = replace(whole, systems=systems)
    seen = looks(found)
    assert seen["ds2_selfattn"].colour == seen["ds2_selfattn [joint]"].colour
    assert seen["ds2_selfattn"].marker != seen["ds2_selfattn [joint]"].marker
    assert len({look.colour for look in seen.values()}) == len(VARIANTS)
    # A search more, or a row less, changes no other's colour in any figure.
    for name in ("cost_flops", "learning"):
        for line in axes_of(named(found, name)).lines:
            if line.get_label() in seen:
                assert line.get_color() == seen[line.get_label()].colour
    rows = axes_of(named(found, "differences"))
    tints = [line.get_color() for line in rows.lines[1:]]
    compared = [system.label for system in systems if system.difference]
    assert tints == [seen[label].colour for label in compared]


def test_looks_differ():
    combinations = {look(variant)[:2] for variant in range(len(COLOURS) * len(MARKERS))}
    assert len(combinations) == len(COLOURS) * len(MARKERS)


# Pareto front


def test_what_is_not_judged_is_not_on_the_front(whole):
    """It is cheaper and better than all others, drawn hollow, and the front goes without it."""
    systems = list(whole.systems)
    assert systems[4].verdict is Verdict.NOT_COMPARABLE
    systems[4] = replace(
        systems[4], rate=0.01, cost=replace(systems[4].cost, real_time_factor=0.0001)
    )
    picture = named(replace(whole, systems=tuple(systems)), "cost_rtf")
    assert "Faint: not judged" in picture.caption
    front, *points = axes_of(picture).lines
    assert min(front.get_ydata()) == pytest.approx(100 * systems[1].rate)
    (apart,) = (line for line in points if line.get_label() == systems[4].label)
    assert apart.get_markerfacecolor() == "white"
    assert apart.get_alpha() < 1
    assert axes_of(picture).get_xscale() == "log"
    assert axes_of(named(whole, "cost_time")).get_xscale() == "linear"


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
