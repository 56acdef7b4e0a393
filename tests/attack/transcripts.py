"""Attacks on the transcripts, the speakers and the patterns that `asrbench score` reads."""

import json
import math
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from mutations import BYTES, DOCUMENTS

from attack.attempt import Attack, Attempt
from attack.bounded import Outcome, run
from attack.damage import PLACES, remove, undone
from attack.transcript_files import BY_LINE, HYPOTHESES, REFERENCES, files

# The answer

UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that no output may have, because a terminal would obey them."""


def answered(outcome: Outcome) -> str | None:
    """The check that the output is safe for a terminal, and every rate of an accepted input one."""
    if found := UNSAFE.search(outcome.out + outcome.err):
        return f"printed {found[0]!r}"
    if outcome.status == 2 or not outcome.out.startswith("{"):
        return None
    for system in json.loads(outcome.out)["systems"]:
        for each in system["runs"]:
            if not _are_rates(each):
                return f"{system['label']} has the figures {each}"
    return None


def _are_rates(figures: dict[str, Any]) -> bool:
    n, insertions = figures["n"], figures["insertions"]
    edits = [figures["substitutions"], figures["deletions"], insertions]
    rates = [figures[name] for name in ("rate", "cer", "wer", "swer", "jer")]
    return (
        n > 0
        and min(edits) >= 0
        and sum(edits[:2]) <= n
        and math.isclose(figures["rate"], sum(edits) / n)
        and all(math.isfinite(rate) and 0 <= rate <= 1 + 100_000 / n for rate in rates)
    )


def right(outcome: Outcome) -> str | None:
    """The check of hypotheses that are their references: accepted ones have no errors."""
    if (fault := answered(outcome)) or outcome.status == 2:
        return fault
    (system,) = json.loads(outcome.out)["systems"]
    return f"a reference has the error rate {system['cer']}" if system["cer"] else None


def _twice(arguments: tuple[object, ...], folder: Path) -> Outcome:
    """Returns the outcome of a command, which is a fault if it answers otherwise a second time."""
    first, second = (run(*arguments, folder=folder) for _ in range(2))
    if (first.status, first.out, first.err) == (second.status, second.out, second.err):
        return first
    return replace(second, status=1, err=f"another answer the second time; {second.err}")


# Attempts

PROFILES = ("verbatim", "nospace", "kospeech", "espnet", "readings")


def _options(draw: random.Random) -> list[object]:
    options: list[object] = ["--profile", draw.choice(PROFILES)]
    options += ["--unit", draw.choice(["character", "word"])]
    options += ["--replicates", draw.choice([0, 0, 0, 20])]
    return options + ["--json"] * (draw.random() < 0.7)


def _damaged(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Damages a file of references or of hypotheses, beside a whole file of any format."""
    made = {"ref": files(REFERENCES, REFERENCES), "hyp": files(HYPOTHESES, REFERENCES)}
    for role, each in made.items():
        for name, content in each.items():
            path = home / role / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    names = sorted(made["ref"])
    for number in range(count):
        role, name = draw.choice(["ref", "hyp", "hyp"]), names[number % len(names)]
        opposite = "hyp" if role == "ref" else "ref"
        path = home / role / name
        with undone(home / role):
            what = _damage(path, draw)
            other = home / opposite / draw.choice(names)
            pair = {role: _argument(path), opposite: _argument(other)}
            arguments: tuple[object, ...] = ("score", f"A={pair['hyp']}", *_options(draw))
            if draw.random() < 0.8:
                arguments += ("--ref", pair["ref"])
            if draw.random() < 0.3:
                arguments += (f"B={home / 'hyp/x.jsonl'}",)
            make = None
            if number % 10 == 0:
                make = partial(_twice, arguments, home)
            yield Attempt(f"{role} {what}", arguments, answered, make=make)


def _argument(path: Path) -> Path:
    """Returns what names the file on a command line: the folder for one of Whisper's."""
    return path.parent if path.parent.name.startswith("whisper") else path


def _damage(path: Path, draw: random.Random) -> str:
    if draw.random() < 0.1:
        place = draw.choice(sorted(PLACES))
        remove(path)
        PLACES[place](path)
        return f"{path.name} is {place}"
    kinds = draw.choice([DOCUMENTS if "json" in path.name else BYTES, BY_LINE, BY_LINE])
    how = draw.choice(kinds)
    path.write_bytes(how(path.read_bytes(), draw))
    return f"{path.name} {how.__name__}"


# Texts and documents that hypothesis makes up

T = TypeVar("T")

TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def _objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of the formats that are JSON, with other keys beside their own."""
    beside: dict[str, st.SearchStrategy[Any]] = {"duration": ANYTHING, "a": ANYTHING}
    own = {"id": NAMES, "reference": values, "hypothesis": values}
    nemo = {"audio_filepath": NAMES, "text": values, "pred_text": values}
    offset = beside | {"offset": st.floats(0, 1e9) | values}
    segments = {"segments": st.lists(st.fixed_dictionaries({"text": values}), max_size=3)}
    return st.one_of(
        st.fixed_dictionaries(own, optional=beside),
        st.fixed_dictionaries(nemo, optional=offset),
        st.fixed_dictionaries({"text": values}, optional=beside | segments),
        st.fixed_dictionaries(segments, optional=beside),
    )


JSON: st.SearchStrategy[list[Any]] = st.one_of(
    st.lists(_objects(TEXTS), min_size=1, max_size=3),
    st.lists(_objects(TEXTS), min_size=1, max_size=3),
    st.lists(_objects(TEXTS | ANYTHING) | ANYTHING, min_size=1, max_size=3),
)


def examples(strategy: st.SearchStrategy[T], count: int, draw: random.Random) -> list[T]:
    """Returns that many values of a strategy; the same ones for the same state of `draw`."""
    found: list[T] = []

    @seed(draw.randrange(2**32))
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: T) -> None:
        found.append(value)

    collect()
    return found


def _texts(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Texts of any characters, scored against themselves, in each format."""
    names = ("x.trn", "x.tsv", "x.txt", "x.csv", "x.jsonl", "nemo.jsonl", "list.json")
    made = examples(st.dictionaries(NAMES, TEXTS, min_size=1, max_size=4), count, draw)
    for number, texts in enumerate(made):
        name = names[number % len(names)]
        path = home / name
        path.write_bytes(files(texts, texts)[name])
        arguments = ("score", f"A={path}", "--ref", path, "--replicates", 0, "--json")
        profile = draw.choice(PROFILES)
        yield Attempt(f"{name} of {texts!a}", (*arguments, "--profile", profile), right)


def _documents(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """JSON of every shape: a line each, a list, or the first alone, which can be Whisper's."""
    reference = home / "ref.tsv"
    reference.write_text("x\tone two\n")
    for number, rows in enumerate(examples(JSON, count, draw)):
        path = home / ("x.json", "x.jsonl", "list.json")[number % 3]
        lines = [json.dumps(row) for row in rows]
        path.write_text((lines[0], "\n".join(lines), f"[{', '.join(lines)}]")[number % 3])
        arguments: tuple[object, ...] = ("score", f"A={path}", "--replicates", 0, "--json")
        if number % 3 == 0 and draw.random() < 0.7:
            arguments += ("--ref", reference)
        yield Attempt(f"{path.name} {rows!a}", arguments, answered)


# Speakers

PATTERNS = (
    "^([^-_]+)",
    "(a+)+$",
    "(a|a)*$",
    "(a|aa)+b",
    "(.*)*x",
    "(a?){30}a{30}",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(x+x+)+y",
    "(" * 5000 + ")" * 5000,
    "(?:" * 5000 + ")" * 5000,
    "(a{1,65535}){1,65535}",
    "(a{99999999999999999999})",
    "((a{100}){100}){100}",
    "(?P<x>a)(?P<x>b)",
    "(?<=a+)b",
    "(?=a)()",
    "()",
    "(",
    "\\",
    "[a-",
    "\\1",
    "(?i)(A)",
    "a(?i)(b)",
    "(\\d+)",
    "(\U0001f600)",
    "(a)|b",
)
"""Regular expressions that take exponential time, that are none, and that match in odd ways."""


def _speakers(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Patterns for `--speaker-of`, and damaged files for `--speakers`."""
    ids = [
        *("a" * length + "!" for length in (3, 30, 60)),
        "aXb",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx-1",
    ]
    texts = {id: f"text {number}" for number, id in enumerate(ids)}
    (home / "ref.tsv").write_bytes(files(texts, texts)["x.tsv"])
    speakers = home / "utt2spk"
    whole = "".join(f"{id} s{number % 2}\n" for number, id in enumerate(ids)).encode()
    arguments = (
        "score",
        "--ref",
        home / "ref.tsv",
        f"A={home / 'ref.tsv'}",
        f"B={home / 'ref.tsv'}",
    )
    arguments += ("--json", "--replicates", 20)
    for number in range(count):
        if number % 2:
            pattern = PATTERNS[number // 2 % len(PATTERNS)]
            if number // 2 >= len(PATTERNS):
                pattern = _edited(pattern[:100], draw)
            yield Attempt(
                f"pattern {pattern[:60]!a}", (*arguments, "--speaker-of", pattern), answered
            )
        else:
            remove(speakers)
            speakers.write_bytes(whole)
            what = _damage(speakers, draw)
            yield Attempt(what, (*arguments, "--speakers", speakers), answered)
    remove(speakers)


def _edited(pattern: str, draw: random.Random) -> str:
    """Returns the pattern with some of its characters drawn from those that mean something."""
    place = draw.randint(0, len(pattern))
    signs = "".join(draw.choices("()[]{}*+?|\\.^$a1,:=!<>P-", k=draw.choice([1, 2, 4])))
    return pattern[:place] + signs + pattern[place + draw.choice([0, 1]) :]


ATTACKS = (
    Attack(
        "transcripts",
        "damages files that are scored, in every format, by bytes, documents and lines",
        _damaged,
        5,
    ),
    Attack("texts", "scores texts of any characters against themselves", _texts, 1.5),
    Attack("documents", "scores JSON documents of every shape", _documents, 1.5),
    Attack(
        "speakers",
        "gives patterns that never end, and damaged lists of speakers",
        _speakers,
    ),
)
