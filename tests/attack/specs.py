"""Damaged and extreme specs. A spec is refused in one line, or it is read, and then the printed
spec is read again as the same one; no refused spec leaves a file.
"""

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from mutations import BYTES, WRONG, another_document, mutants, other_value, without_key

from attack.attempt import Attack, Attempt, refused
from attack.bounded import Outcome, run
from attack.leftovers import difference, nothing_left, state
from attack.spec_keys import LABELS, Key, extremes, is_of, keys_of, numbers_of

SPEC, AGAIN = "full.yaml", "again.yaml"
PRINT = ("train", SPEC, "--print-config")
Check = Callable[[Outcome], str | None]


def _full_spec(folder: Path) -> str:
    """Writes the study's second variant with every key, one a line; returns that spec."""
    printed = run("train", "tiny.yaml", "--only", "ds2_selfattn", "--print-config", folder=folder)
    text = _as_spec(yaml.safe_load(printed.out))
    (folder / SPEC).write_text(text, encoding="utf-8")
    return text


def _as_spec(keys: dict[str, Any]) -> str:
    """Returns a spec file for the keys of one run, as `--print-config` prints them."""
    plan: dict[str, Any] = {"name": keys["experiment"], "seeds": [keys["seed"]]}
    plan["variants"] = {keys["variant"]: None}
    if keys["fold"] is not None:
        plan["folds"] = keys["fold"]["of"]
    rest = {key: value for key, value in keys.items() if key not in LABELS}
    return yaml.safe_dump(plan | rest, sort_keys=False, allow_unicode=True)


def _same_again(folder: Path) -> Check:
    """Returns a check: what `--print-config` prints of a run is read as the same run."""

    def check(outcome: Outcome) -> str | None:
        if outcome.status != 0:
            return None
        text = outcome.out.split("---\n")[0]
        keys = yaml.safe_load(text)
        (folder / AGAIN).write_text(_as_spec(keys), encoding="utf-8")
        fold = ["--fold", keys["fold"]["index"]] if keys["fold"] else []
        again = run("train", AGAIN, *fold, "--print-config", folder=folder)
        (folder / AGAIN).unlink()
        if again.status != 0:
            return f"its printed spec is refused: {again.fault or again.refusal}"
        return None if again.out == text else "its printed spec is read as another one"

    return check


def _all(*checks: Check) -> Check:
    return lambda outcome: next((found for check in checks if (found := check(outcome))), None)


# Damaged files


def _bytes(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    whole = _full_spec(folder).encode()
    check = nothing_left(folder)
    for damaged in mutants(whole, count, draw.getrandbits(32), BYTES):
        (folder / SPEC).write_bytes(damaged)
        check = _all(nothing_left(folder), _same_again(folder))
        yield Attempt("bytes changed", PRINT, check)


def _documents(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    whole = json.dumps(yaml.safe_load(_full_spec(folder))).encode()
    ways = (other_value, other_value, without_key, another_document)
    for number, damaged in enumerate(mutants(whole, count, draw.getrandbits(32), ways)):
        (folder / SPEC).write_bytes(damaged)
        if number % 5:
            yield Attempt("a value changed", PRINT, _all(nothing_left(folder), _same_again(folder)))
        else:
            arguments = ("train", SPEC, "--dry-run", "--results", "new")
            yield Attempt("a value changed", arguments, _nothing_made(folder))


def _nothing_made(folder: Path) -> Check:
    """Returns a check: the command leaves the folder as it is, whether it refuses or not."""
    before = state(folder)
    return lambda outcome: difference(before, folder)


def _keys(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    lines = _full_spec(folder).splitlines()
    written = [i for i, line in enumerate(lines) if re.match(r" *\w+:", line)]
    for _ in range(count):
        place = draw.choice(written)
        indent, key = re.match(r"( *)(\w+):", lines[place]).groups()  # type: ignore[union-attr]
        what, line, where = draw.choice(
            [
                (f"{key} twice", f"{indent}{key}: 1", place),
                (f"{key} twice", f'{indent}"{key}": null', place),
                (f"{key}_ is unknown", f"{indent}{key}_: 1", place),
                (f"'' is unknown beside {key}", f"{indent}'': 1", place),
                (f"1 is a key beside {key}", f"{indent}1: 1", place),
                (f"[] is a key beside {key}", f"{indent}? []\n{indent}: 1", place),
                (f"a tab before {key}", f"{indent}\tx: 1", place),
            ]
        )
        text = [*lines[:where], line, *lines[where:]]
        (folder / SPEC).write_text("\n".join(text) + "\n", encoding="utf-8")
        yield Attempt(what, PRINT, _all(refused, nothing_left(folder)))


SURPRISES = (
    *("yes", "no", "on", "off", "y", "N", "~", "null", "Null", "TRUE", "=", "<<"),
    *("010", "0o10", "0x1F", "0b1", "1_000", "1:30", "190:20:30.15", "+1", "-0", "1e3", "1E3"),
    *(".5", "5.", ".inf", "-.INF", ".nan", ".NaN", "1e400", "-1e400", "1e-400", "9" * 400),
    *("9" * 5000, "2024-01-01", "2024-01-01 10:00:00 +1", "٣", "１", "½", "\u00a01", "\ufeff1"),
    *('"\\ud800"', '"\\0"', '"\\x1b[2J"', "a\u2028b", "a\u0085b", "''", '""', "' 1'", '"1"'),
    *("|\n  1", ">-\n  1", "[1", "{a: 1", "[1, ]", "{1}", "&a 1", "*a", "&a [*a]", "!!int '1'"),
    *("!!python/object/apply:os.system [id]", "!!python/name:os.system", "!!binary aGk=", "! 1"),
    *("!!float 1", "!!set {a}", "!!omap [a: 1]", "@1", "`1`", "%1", "1 # comment", "1 : 2", "- 1"),
    *(
        "? 1",
        "...",
        "---",
        "--- 1",
        "\t1",
        "1\t",
        "\x00",
        "\x07",
        "\x7f",
        "\ufffe",
        "(1)",
        "${HOME}",
    ),
)
"""Values that other readers of YAML take for something else than they look like."""

DIRECTIVES = (
    "%YAML 1.1\n---\n",
    "%YAML 9.9\n---\n",
    "%TAG ! x\n---\n",
    "---\n---\n",
    "\ufeff",
    "#",
)


def _surprises(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    lines = _full_spec(folder).splitlines()
    values = [i for i, line in enumerate(lines) if re.match(r" *(\w+:|-) \S", line)]
    for number in range(count):
        text = list(lines)
        if number % 20 == 19:
            what = draw.choice(DIRECTIVES)
            text[0] = what + text[0]
        else:
            what, place = SURPRISES[number % len(SURPRISES)], draw.choice(values)
            text[place] = re.match(r" *(\w+:|-) ", text[place])[0] + what  # type: ignore[index]
            what = f"{text[place].strip()[:60]!r}"
        (folder / SPEC).write_text("\n".join(text) + "\n", encoding="utf-8")
        checks = [nothing_left(folder), _same_again(folder)]
        yield Attempt(what, PRINT, _all(*checks, *([refused] if "!!" in what else [])))


# Values of every key


def _set(key: Key, value: Any) -> str:
    """Returns the argument of `--set`, whose values are YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=False)
    return f"{key.path}={text.removesuffix('...' + chr(10)).strip()}"


def _values(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    pairs: list[tuple[Key, Any, bool]] = []
    for key in keys_of(folder / "tiny.yaml"):
        wrong = [value for value in WRONG if value != "\ud800"]
        pairs += [(key, value, not is_of(value, key.schema)) for value in wrong]
        if (number := numbers_of(key.schema)) is not None:
            inside, outside = extremes(number[0])
            pairs += [(key, number[1](value), False) for value in inside]
            pairs += [(key, number[1](value), True) for value in outside]
    for key, value, impossible in draw.sample(pairs, min(count, len(pairs))):
        sets = [each for text in (*key.choice, _set(key, value)) for each in ("--set", text)]
        arguments = ("train", "tiny.yaml", "--only", "ds2", *sets, "--print-config")
        if any(text.startswith("model") for text in key.choice):
            arguments = ("train", "tiny.yaml", *sets, "--print-config")
        last = [refused] if impossible else [_same_again(folder)]
        yield Attempt(sets[-1][:100], arguments, _all(nothing_left(folder), *last))


NOT_SMALL = ("model.encoder.width_factor",)
"""Keys at whose upper bound a model is as large as its paper's: Jasper with 333 million parameters
needs more memory than an attempt may take."""


def _trained(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Trains with a value at a bound of the schema, for as little time as can be given."""
    pairs = [
        (key, number[1](value))
        for key in keys_of(folder / "tiny.yaml")
        if key.path not in NOT_SMALL and (number := numbers_of(key.schema)) is not None
        for value in extremes(number[0])[0]
    ]
    for key, value in draw.sample(pairs, min(count, len(pairs))):
        sets = [each for text in (*key.choice, _set(key, value)) for each in ("--set", text)]
        arguments = ("train", "tiny.yaml", "--only", "ds2", *sets, "--results", "new")
        limits = ("--max-hours", "1e-5", "--device", "cpu")
        yield Attempt(sets[-1][:100], (*arguments, *limits))
        shutil.rmtree(folder / "new", ignore_errors=True)


# Sizes of studies


def _sizes(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    many = list(range(20_000))
    ways: Sequence[tuple[str, dict[str, Any]]] = (
        ("20,000 seeds", {"seeds": many}),
        ("a seed of 2^63", {"seeds": [2**63]}),
        ("a seed of 10^30", {"seeds": [10**30]}),
        ("10^9 folds", {"folds": 10**9}),
        ("10^30 folds", {"folds": 10**30}),
        ("20,000 variants", {"variants": {f"v{i}": None for i in many}}),
        (
            "a grid of 10^6",
            {"grid": {"train.epochs": many[1:1001], "text.vocabulary": many[:1000]}},
        ),
        ("a grid of 10^60", {"grid": {f"a.b{i}": [1, 2] for i in range(200)}}),
        ("a grid over nothing", {"grid": {"": [1, 2]}}),
        ("a grid over a section", {"grid": {"train": [{"epochs": 1}, {"epochs": 2}]}}),
        ("a grid of lists", {"grid": {"augment.speeds": [[1.0], [0.9, 1.1]]}}),
        ("a name of 10,000 letters", {"name": "a" * 10_000}),
        ("a variant of 10,000 letters", {"variants": {"a" * 10_000: None}}),
        ("a name that leads out", {"name": "../../elsewhere"}),
        ("a variant that leads out", {"variants": {"..": None}}),
        ("a name with a line end", {"name": "a\nb"}),
        ("it extends itself", {"extends": SPEC}),
        ("it extends a folder", {"extends": "."}),
        ("it extends nothing", {"extends": ""}),
        ("it extends what is not there", {"extends": "/no/such.yaml"}),
        ("only of a variant that is not there", {"only": ["x"]}),
        ("10,000 speeds", {"augment": {"speeds": [1.0 + i / 10**6 for i in many[:10_000]]}}),
        ("a key of 100,000 letters", {"a" * 100_000: 1}),
        ("a value of 500,000 letters", {"corpus": "a" * 500_000}),
        ("a plug-in that is not there", {"plugins": ["/no/such.py"]}),
        ("a plug-in that is the spec", {"plugins": [SPEC]}),
        ("a plug-in that is a folder", {"plugins": ["corpus"]}),
        ("a corpus that is a file", {"corpus": "tiny.yaml"}),
        ("a corpus that is not there", {"corpus": "nowhere"}),
        ("a corpus without a name", {"corpus": ""}),
        ("a corpus with a null byte", {"corpus": "a\0b"}),
        ("sounds in a file", {"augment": {"noise": {"folders": ["tiny.yaml"]}}}),
        ("sounds in a folder without any", {"augment": {"noise": {"folders": ["results"]}}}),
        ("sounds in /proc", {"augment": {"rooms": {"folders": ["/proc/self"]}}}),
        ("sounds in /dev", {"augment": {"rooms": {"folders": ["/dev"]}}}),
    )
    base = {"name": "tiny", "corpus": "corpus", "features": {"kind": "log_mel", "bands": 20}}
    for number in range(count):
        what, keys = ways[number % len(ways)]
        (folder / SPEC).write_text(yaml.safe_dump(base | keys), encoding="utf-8")
        yield Attempt(what, ("train", SPEC, "--dry-run", "--results", "new"), _nothing_made(folder))


ATTACKS = (
    Attack(
        "spec: bytes", "Bits of a spec are turned, its end is cut off, it is not UTF-8.", _bytes, 2
    ),
    Attack(
        "spec: values", "Keys are dropped, and values become those of other types.", _documents, 3
    ),
    Attack(
        "spec: keys",
        "Keys that are unknown, doubled, or no text: all have to be refused.",
        _keys,
        2,
    ),
    Attack(
        "spec: YAML",
        "Values and directives that other readers of YAML take for something else: `010`, `1:30`, "
        "`!!python/name:os.system`, a number of 5,000 digits.",
        _surprises,
        2,
    ),
    Attack(
        "spec: --set",
        "Every key of the schema gets values of other types, values at its bounds, and values "
        "beyond them, which have to be refused; an accepted spec is printed and read again.",
        _values,
        5,
    ),
    Attack("spec: trained", "A step is trained with values at the bounds of the schema.", _trained),
    Attack(
        "spec: sizes",
        "Studies of very many runs, very long names, names that lead out of the results, circles, "
        "and folders that are none; `--dry-run` leaves no file in any case.",
        _sizes,
        0.35,
    ),
)
