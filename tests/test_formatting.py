"""Figures as text, and frozen dataclasses as JSON."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import pytest

from asrbench.base.formatting import (
    counted,
    listing,
    p_equals,
    p_value,
    parameter_count,
    percent,
    percent_interval,
    points,
    points_interval,
    ratio,
    seed_list,
    sentence,
)
from asrbench.base.records import field_values, to_json


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (percent(0.04694), "4.69"),
        (points(0.0056), "+0.56"),
        (points(-1e-9), "+0.00"),
        (points(-0.00495, digits=3), "-0.495"),
        (percent_interval((0.027, 0.0717)), "2.70 to 7.17"),
        (points_interval((-0.007, 0.0177)), "-0.70 to +1.77"),
        (p_value(0.3351), "0.335"),
        (p_value(0.0009), "<0.001"),
        (listing(["a"]), "a"),
        (listing(["a", "b"]), "a and b"),
        (listing(["a", "b", "c"]), "a, b and c"),
        (p_equals(0.001), "p = 0.001"),
        (p_equals(0.0009), "p < 0.001"),
        (parameter_count(512_400), "512k"),
        (parameter_count(4_012_345), "4.01M"),
        (parameter_count(12_345_678), "12.3M"),
        (ratio(1.3249), "1.32x"),
        (seed_list([3]), "seed 3"),
        (seed_list([0, 1]), "seeds 0, 1"),
        (counted(1, "seed"), "1 seed"),
        (counted(1200, "utterance"), "1,200 utterances"),
        (sentence("run 1 of 2: CER is high"), "Run 1 of 2: CER is high."),
    ],
)
def test_figures_as_text(text: str, expected: str) -> None:
    assert text == expected


def test_what_is_not_known_is_a_dash() -> None:
    for form in (percent, points, percent_interval, points_interval, p_value, parameter_count):
        assert form(None) == "-"
    assert ratio(None) == "-"


class Colour(StrEnum):
    RED = "red"


class Ends(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True)
class Inner:
    colour: Colour
    ends: Ends


@dataclass(frozen=True)
class Outer:
    inner: Inner | None
    by_name: dict[str, tuple[Inner, ...]]


def test_a_dataclass_is_an_object_of_its_fields() -> None:
    inner = Inner(Colour.RED, Ends(0.5, 1.0))
    expected = {"colour": "red", "ends": [0.5, 1.0]}
    found = json.loads(to_json(Outer(inner, {"a": (inner,)})))
    assert found == {"inner": expected, "by_name": {"a": [expected]}}
    assert json.loads(to_json(Outer(None, {}))) == {"inner": None, "by_name": {}}
    assert field_values(inner) == {"colour": Colour.RED, "ends": (0.5, 1.0)}


@pytest.mark.parametrize("other", [object(), {1, 2}, Inner])
def test_anything_else_is_refused(other: object) -> None:
    with pytest.raises(TypeError, match="is no dataclass"):
        to_json({"found": other})
