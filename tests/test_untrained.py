"""A run is marked as not trained by what it writes, at the limits that docs/scoring.md states."""

import pytest

from asrbench.scoring.run_rates import runs_of

REFERENCES = [f"{'abcdefghij'[i:]}{'abcdefghij'[:i]}" for i in range(10)]
"""Ten texts of ten characters, all different."""


def failure(hypotheses: list[str], references: list[str] = REFERENCES) -> str | None:
    (run,) = runs_of(references, {"a": [hypotheses]}, "verbatim", "character")["a"]
    return run.failure


def with_errors(share: int) -> list[str]:
    """Hypotheses in which `share` of every ten characters are substituted."""
    return ["-" * share + text[share:] for text in REFERENCES]


@pytest.mark.parametrize(
    ("hypotheses", "reason"),
    [
        (REFERENCES, None),
        (with_errors(8), None),
        (with_errors(9), "CER is 90 % or more"),
        (["-", *REFERENCES[1:]], None),
        (["a"] * 10, "every hypothesis is 'a'"),
        ([REFERENCES[0]] * 10, "every hypothesis is 'abcdefghij'"),
        (["", *REFERENCES[1:]], None),
        ([" "] * 10, "100 % of the hypotheses are empty"),
    ],
)
def test_each_sign_of_a_model_that_did_not_train(hypotheses: list[str], reason: str | None) -> None:
    assert failure(hypotheses) == reason


def test_nine_in_ten_empty_hypotheses_are_not_yet_too_many() -> None:
    """The references of the empty ones are short, so the CER stays below the limit."""
    references = ["abcdefghij" * 10, *"abcdefghi"]
    assert failure([references[0], *[""] * 9], references) is None
    more = [*references, "j"]
    assert failure([references[0], *[""] * 10], more) == "91 % of the hypotheses are empty"


def test_one_hypothesis_is_right_where_all_references_are_the_same() -> None:
    assert failure(["ab"] * 10, ["ab"] * 10) is None
