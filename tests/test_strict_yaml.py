"""What YAML texts are rejected, and as what a value is read."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from asrbench.base.errors import UserError
from asrbench.experiment.strict_yaml import DEEPEST, SPEC_BYTES, parse, read_dumped, read_mapping

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))


@pytest.mark.parametrize("read", [read_mapping, read_dumped])
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: " + 500 * "[" + 500 * "]", "line 1: found more than 50 levels of nesting"),
        (1_000_000 * "[", "line 1: found more than 50 levels of nesting"),
        (300_000 * "- ", "line 1: found more than 50 levels of nesting"),
        (BOMB, "line 15: found more than 100,000 values"),
        ("a: &a\n  b: *a", "line 2: found a value that contains itself"),
        ("a: !!binary aGk=", "line 1: found the tag 'binary', allowed: none; put text in quotes"),
        ("a: !!set {x}", "line 1: found the tag 'set', allowed: none; put text in quotes"),
        (f"a: {SPEC_BYTES * 'x'}", "cannot be read (it has more than 1,048,576 bytes)"),
    ],
)
def test_what_would_take_the_machine_is_one_line(
    tmp_path: Path, read: Any, text: str, fault: str
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {fault}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("10", 10), ("-3", -3), ("0", 0), ("1_000", 1000), ("3e-4", 3e-4), ("1.5", 1.5)),
        *(("010", "010"), ("0x1F", "0x1F"), ("0b1", "0b1"), ("1:30", "1:30")),
        *(("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y")),
        *(("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None)),
        *(("2024-01-01", "2024-01-01"), ("=", "="), ("<<", "<<"), ("٣", "٣")),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: Any) -> None:
    found = parse(f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


# PyYAML writes U+0085 in a way that it reads as another line end.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(value=st.dictionaries(TEXT, PLAIN))
def test_the_reader_of_dumped_files_reads_what_was_dumped(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8", newline="")
    assert read_dumped(path) == value


def test_nesting_up_to_the_limit_is_read() -> None:
    depth = DEEPEST - 1
    assert parse("[" * depth + "]" * depth) is not None
