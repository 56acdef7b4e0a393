"""Strict YAML: keys are text and unique, `3e-4` is a number, and dates stay text."""

import json
import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import yaml

from asrbench.base.errors import UserError
from asrbench.base.files import read_utf8


class _Loader(yaml.SafeLoader):
    """A YAML loader that rejects duplicate keys and keys that are not text, such as `no`."""

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


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if not tag.endswith(("timestamp", "float"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$|[-+]?\.inf$|\.nan$"),
    list("-+0123456789."),
)


def read_mapping(path: Path) -> dict[str, Any]:
    """Returns the mapping in a YAML file. Raises `UserError`, with the line, for anything else."""
    return _mapping(path, parse)


def read_dumped(path: Path) -> dict[str, Any]:
    """Returns the mapping in a file that `yaml.safe_dump` wrote, ten times as fast.

    It uses libyaml, which gives shorter error messages and crashes on very deep nesting.
    """
    return _mapping(path, lambda text: yaml.load(text, Loader=yaml.CSafeLoader))


def _mapping(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        keys = parse(read_utf8(path))
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: {fault(error)}") from None
    if not isinstance(keys, dict):
        raise UserError(f"{path}: found no mapping, allowed: the keys of an experiment")
    return keys


def parse(text: str) -> Any:
    """Returns the value that a YAML text holds.

    Raises `yaml.YAMLError` or `ValueError`, which `fault` describes in a few words.
    """
    value = yaml.load(text, Loader=_Loader)
    # This raises ValueError for a value that contains itself and for an unpaired surrogate.
    json.dumps(value, default=str, ensure_ascii=False).encode()
    return value


def fault(error: Exception) -> str:
    """Returns a short description, with the line, of an error that `parse` raised."""
    if isinstance(error, yaml.MarkedYAMLError):
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        return f"line {line}: {error.problem or 'not YAML'}"
    return f"not YAML ({str(error).splitlines()[0]})"
