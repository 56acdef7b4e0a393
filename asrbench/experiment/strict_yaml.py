"""Strict YAML: keys are text and unique, and a value is what it looks like.

`3e-4` is a number; `010`, `1:30`, `yes` and dates are text. A text is bounded in size and depth.
"""

import json
import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from asrbench.base.errors import UserError
from asrbench.base.files import read_utf8

SPEC_BYTES = 1 << 20
"""Largest YAML file that is read, 1 MiB."""

DEEPEST = 50
"""Greatest depth of nesting. A spec has fewer than ten levels, and its readers are recursive."""

T = TypeVar("T")

MOST_VALUES = 100_000
"""Largest number of values in a text, where an alias counts as all that it stands for."""


class _Composer(yaml.composer.Composer):
    """Makes nodes from events, and rejects what would take the memory or is not plainly a value.

    That is: deep nesting, aliases that multiply, and tags. The check comes before libyaml's own
    recursion, which crashes the process, because this class composes the nodes of both loaders.
    """

    def __init__(self) -> None:
        yaml.composer.Composer.__init__(self)
        self._sizes: dict[int, int] = {}  # id of a node -> number of values in it
        self._open = [0]  # number of values so far in each node around the current one

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[attr-defined]  # the parser has it
        if getattr(event, "tag", None) is not None:
            name = event.tag.rpartition(":")[2]
            raise _problem(f"found the tag '{name}', allowed: none; put text in quotes", event)
        if len(self._open) > DEEPEST:
            raise _problem(f"found more than {DEEPEST} levels of nesting", event)
        self._open.append(1)
        node = super().compose_node(parent, index)
        size = self._open.pop()
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self._sizes:
                raise _problem("found a value that contains itself", event)
            size = self._sizes[id(node)]
        self._sizes[id(node)] = size
        self._open[-1] += size
        if self._open[-1] > MOST_VALUES:
            raise _problem(f"found more than {MOST_VALUES:,} values", event)
        return node


def _problem(problem: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


class _Loader(_Composer, yaml.SafeLoader):
    """A YAML loader that rejects duplicate keys and keys that are not text, such as `1`."""

    def __init__(self, stream: str) -> None:
        _Composer.__init__(self)
        yaml.SafeLoader.__init__(self, stream)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"found the key {key!r}, allowed: text; put it in quotes"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            if key in seen:
                problem = f"found the key '{key}' twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _DumpedLoader(_Composer, yaml.CSafeLoader):
    """A loader that uses libyaml's parser, for files that `yaml.safe_dump` wrote."""

    def __init__(self, stream: str) -> None:
        _Composer.__init__(self)
        yaml.CSafeLoader.__init__(self, stream)


# YAML 1.1 reads 010 as 8, 1:30 as 90, and yes and no as booleans. These are text here, and a number
# or a boolean looks as in YAML 1.2 (core schema, 10.3.2), which also reads 3e-4 as a number.
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][\d_]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?|[-+]?\.inf|\.nan",
        list("-+0123456789."),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$", re.ASCII), _first
    )


def read_mapping(path: Path) -> dict[str, Any]:
    """Returns the mapping in a YAML file. Raises `UserError`, with the line, for anything else."""
    return _mappings(path, lambda text: [parse(text)])[0]


def read_mappings(path: Path) -> list[dict[str, Any]]:
    """Returns the mapping in every document of a YAML file, which has one or more.

    Raises `UserError`, with the line, for anything else.
    """
    return _mappings(path, parse_all)


def read_dumped(path: Path) -> dict[str, Any]:
    """Returns the mapping in a file that `yaml.safe_dump` wrote, ten times as fast.

    It uses libyaml, which gives shorter error messages.
    """
    return _mappings(path, lambda text: [yaml.load(text, Loader=_DumpedLoader)])[0]


def _mappings(path: Path, parse: Callable[[str], list[Any]]) -> list[dict[str, Any]]:
    try:
        documents = parse(read_utf8(path, SPEC_BYTES))
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: {fault(error)}") from None
    if not documents or not all(isinstance(keys, dict) for keys in documents):
        raise UserError(f"{path}: found no mapping, allowed: the keys of an experiment")
    return documents


def parse(text: str) -> Any:
    """Returns the value that a YAML text of one document holds.

    Raises `yaml.YAMLError` or `ValueError`, which `fault` describes in a few words.
    """
    return _plain(yaml.load(text, Loader=_Loader))


def parse_all(text: str) -> list[Any]:
    """Returns the values that the documents of a YAML text hold. Raises the errors of `parse`."""
    return _plain(list(yaml.load_all(text, Loader=_Loader)))


def _plain(value: T) -> T:
    """Returns `value`. Raises `ValueError` for an unpaired surrogate in it."""
    json.dumps(value, ensure_ascii=False).encode()
    return value


def fault(error: Exception) -> str:
    """Returns a short description, with the line, of an error that `parse` raised."""
    if isinstance(error, yaml.MarkedYAMLError):
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        return f"line {line}: {error.problem or 'not YAML'}"
    return f"not YAML ({str(error).splitlines()[0]})"
