"""The pages on the keys of a spec, made of the schema that `asrbench schema` prints.

A section of a spec is an object of the schema. Where it has several kinds, each of them is one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markdown_parts import anchor, code, plain, table

from asrbench.experiment.registry import MODELS
from asrbench.experiment.spec import OPERATIONAL
from asrbench.experiment.spec_schema import spec_schema

Node = Mapping[str, Any]
"""A JSON schema, or a part of one."""

REFERENCE = "#/definitions/"

OWN_KEYS = "<keys>"
"""The values of a section, in words that a link replaces."""

WITHOUT_DEFAULT = ("extends", "plugins")
"""Keys that may be left out and have no default: they say how the file is read."""

SPEC_HEAD = f"""# Keys of a spec

A spec is a YAML file that says what to train. Every key but those that are called required has a
default. An unknown key, another type or a value out of range is an error of one line.
`asrbench train SPEC --print-config` prints a spec with all its defaults, and
`--set train.epochs=5` changes a key by its dotted name.

A run is identified by its keys, so that a change makes another run. These keys do not count:
{", ".join(f"`{key}`" for key in OPERATIONAL)}.

The keys below `model` are on [a page of their own](model.md). Both pages are made of what
`asrbench schema` prints, from which an editor completes and checks a spec.

"""

MODEL_HEAD = """# Keys of a model

`model.name` chooses an encoder and a head from the table below, and thereby the kinds of most
sections. The other keys change sizes. Defaults are those of the kind; the table has the keys that a
name sets otherwise. The remaining keys of a spec are on [a page of their own](spec.md).

"""

NAMES = """## Names of models

{table}
A [plug-in](../your_own_attention.md) adds names and kinds. [The page on the family](../family.md)
says how each model differs from the paper that it is named after.

"""


@dataclass(frozen=True)
class Section:
    """A section of a spec, with the keys of each of its kinds."""

    path: str
    """Dotted name; empty for the top of the file."""
    title: str
    description: str
    kinds: tuple[Node, ...]
    """The objects that it may be; a single one where it has no kinds."""


def spec_pages() -> dict[str, str]:
    """Returns the Markdown of the pages, by their names."""
    of_models: list[Section] = []
    others: list[Section] = []
    for section in sections(spec_schema()):
        below_model = section.path == "model" or section.path.startswith("model.")
        (of_models if below_model else others).append(section)
    spec = SPEC_HEAD + "".join(map(_section_text, others))
    model = MODEL_HEAD + NAMES.format(table=_models()) + "".join(map(_section_text, of_models))
    return {"spec.md": spec, "model.md": model}


def sections(schema: Node) -> list[Section]:
    """Returns every section of a spec once, each before those within it."""
    top = Section("", "The file", "", (schema,))
    return [top, *_within(top, schema, set())]


def _within(section: Section, schema: Node, seen: set[tuple[str, str]]) -> Iterator[Section]:
    for kind in section.kinds:
        for key, about in kind["properties"].items():
            path = f"{section.path}.{key}".lstrip(".")
            kinds = objects(about, schema)
            one = (path, json.dumps(kinds))
            if not kinds or one in seen:
                continue
            # The same key can be another section under another kind, as the recurrence of encoders.
            of = f" of {code(_kind(kind))}" if any(path == other for other, _ in seen) else ""
            seen.add(one)
            found = Section(path, code(path) + of, about.get("description", ""), kinds)
            yield found
            yield from _within(found, schema, seen)


def objects(about: Node, schema: Node) -> tuple[Node, ...]:
    """Returns the objects with known keys that a key may hold; none for a plain value.

    `variants` is left out, because a variant has the keys of the file.
    """
    name = about.get("$ref", "").removeprefix(REFERENCE)
    if name:
        found: Node = schema["definitions"][name]
        return (found,) if "properties" in found else ()
    options = [*about.get("anyOf", ()), *([about["items"]] if _is_list(about) else [])]
    return tuple(each for option in options for each in objects(option, schema))


def _is_list(about: Node) -> bool:
    return isinstance(about.get("items"), Mapping)


def _kind(node: Node) -> str:
    return str(node["properties"].get("kind", {}).get("const", ""))


def _section_text(section: Section) -> str:
    words = plain(section.description)
    text = f"{anchor(section.path)}\n\n" if section.path else ""
    text += f"## {section.title}\n\n{words}\n\n" if words else f"## {section.title}\n\n"
    return text + "".join(_kind_text(section, kind) for kind in section.kinds)


def _kind_text(section: Section, kind: Node) -> str:
    """Returns a table of the keys. Where a section has kinds, the kind is its heading."""
    keys = dict(kind["properties"])
    own = keys.pop("kind") if _kind(kind) else None
    head = f"### kind: {_kind(kind)}\n\n" if own else ""
    if own and "description" in own:
        head += f"{plain(own['description'])}\n\n"
    rows = [_row(section, key, about) for key, about in keys.items()]
    return head + (table(["key", "values", "default", "meaning"], rows) if rows else "") + "\n"


def _row(section: Section, key: str, about: Node) -> list[str]:
    path = f"{section.path}.{key}".lstrip(".")
    page = "model.md" if path == "model" else ""
    values = "a name of the table above" if path == "model.name" else values_of(about)
    default = "" if path in WITHOUT_DEFAULT else default_of(about)
    return [
        code(key),
        values.replace(OWN_KEYS, f"[its keys]({page}#{path})"),
        default,
        plain(about.get("description", "")),
    ]


def values_of(about: Node) -> str:
    """Returns the type and the range of a key in words, as `whole number, 1 to 100`."""
    if "$ref" in about:
        return OWN_KEYS
    if "enum" in about:
        return ", ".join(code(json_text(each)) for each in about["enum"])
    if "anyOf" in about:
        return ", or ".join(dict.fromkeys(values_of(each) for each in about["anyOf"]))
    if "not" in about:
        return "none without a plug-in"
    match about.get("type"):
        case "integer":
            return f"whole number{_range(about)}"
        case "number":
            return f"number{_range(about)}"
        case "boolean":
            return "`true`, `false`"
        case "null":
            return "`null`"
        case "string":
            return "text"
        case "array" if _is_list(about):
            return f"list: {values_of(about['items'])}" if about["items"] else "list"
        case "array":
            each = dict.fromkeys(values_of(item) for item in about["items"])
            return f"list of {len(about['items'])}: {', '.join(each)}"
    return "mapping"


def _range(about: Node) -> str:
    """Returns the range of a number; bounds beyond a million only end slips and are left out."""
    low, above = about.get("minimum"), about.get("exclusiveMinimum")
    high, below = about.get("maximum"), about.get("exclusiveMaximum")
    high, below = (None if end is None or abs(end) > 1e6 else end for end in (high, below))
    if low is not None and high is not None:
        return f", {low:g} to {high:g}"
    ends = [
        *([f"at least {low:g}"] if low is not None else []),
        *([f"above {above:g}"] if above is not None else []),
        *([f"at most {high:g}"] if high is not None else []),
        *([f"below {below:g}"] if below is not None else []),
    ]
    return f", {' and '.join(ends)}" if ends else ""


def default_of(about: Node) -> str:
    """Returns the default of a key; of a section, its kind, as its keys have their own."""
    if "default" not in about:
        return "" if REFERENCE in json.dumps(about) else "required"
    default = about["default"]
    if isinstance(default, Mapping) and default:
        return code(f"kind: {default['kind']}") if "kind" in default else ""
    return code(json_text(default))


def json_text(value: Any) -> str:
    """Returns a value as a spec may have it, without quotation marks around a word."""
    return value if isinstance(value, str) else json.dumps(value)


def _models() -> str:
    rows = [
        [code(name), plain(entry.differs), _set_keys(entry.encoder, entry.head)]
        for name, entry in MODELS.items()
    ]
    return table(["`model.name`", "what it is, or how it differs", "kinds and sizes"], rows)


def _set_keys(encoder: Node, head: Node) -> str:
    return code(f"encoder: {_flow(encoder)}, head: {_flow(head)}")


def _flow(value: Any) -> str:
    """Returns a value as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return json_text(value)
