"""The schema of a spec file: it accepts what the reader accepts, and refuses slips."""

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doors import run
from json_schema import is_valid

from asrbench.base.errors import UserError
from asrbench.experiment.registry import MODELS
from asrbench.experiment.spec_base import Spec
from asrbench.experiment.spec_file import load_study
from asrbench.experiment.spec_schema import spec_schema
from asrbench.experiment.strict_yaml import read_mapping

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "experiments").rglob("*.yaml"))
OPEN = {"variants", "grid"}
"""Mappings whose keys are names that the user gives."""


@pytest.fixture(scope="module")
def schema() -> Any:
    return spec_schema()


def mappings(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the place of every mapping whose keys are those of the spec."""
    if isinstance(node, dict):
        if not (len(place) == 1 and place[0] in OPEN):
            yield place
        for key, value in node.items():
            yield from mappings(value, (*place, key))


def at(node: Any, place: tuple[Any, ...]) -> Any:
    for part in place:
        node = node[part]
    return node


def with_values(text: str) -> Any:
    """Returns the mapping of dotted keys, as `{"train.epochs": 5}`."""
    keys: dict[str, Any] = {}
    for dotted, value in json.loads(text).items():
        node = keys
        *parts, last = dotted.split(".")
        for part in parts:
            node = node.setdefault(part, {})
        node[last] = value
    return keys


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_experiment_is_valid_and_with_a_slip_in_any_section_it_is_not(
    path: Path, schema: Any
) -> None:
    keys = read_mapping(path)
    assert is_valid(keys, schema)
    places = list(mappings(keys))
    assert () in places
    for place in places:
        slipped = copy.deepcopy(keys)
        at(slipped, place)["widht"] = 1
        assert not is_valid(slipped, schema), place


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ('{"train.epochs": 1}', '{"train.epochs": 0}'),
        ('{"train.batch_seconds": 60}', '{"train.batch_seconds": 0}'),
        ('{"train.optimizer.betas": [0.9, 0.98]}', '{"train.optimizer.betas": [0.9, 1]}'),
        ('{"train.optimizer.betas": [0.9, 0.98]}', '{"train.optimizer.betas": [0.9]}'),
        ('{"train.schedule.hold": 1}', '{"train.schedule.hold": 1.5}'),
        ('{"train.precision": "bf16"}', '{"train.precision": "fp16"}'),
        ('{"text.unit": "jamo"}', '{"text.unit": "word"}'),
        ('{"features.bands": 1000}', '{"features.bands": 1001}'),
        ('{"augment.noise.snr_db": [5, 20]}', '{"augment.noise.snr_db": [5, 200]}'),
        ('{"augment.noise.folders": "noise"}', '{"augment.noise.folders": 1}'),
        ('{"augment.noise.folders": ["noise"]}', '{"augment.noise.folders": [1]}'),
        ('{"model.name": "las"}', '{"model.name": "lass"}'),
        ('{"model.encoder.layers": 100}', '{"model.encoder.layers": 101}'),
        ('{"model.encoder.attention.kind": "self"}', '{"model.encoder.attention.kind": "shelf"}'),
        ('{"model.head.decoder.layers": 1}', '{"model.head.decoder.layers": 0}'),
        ('{"model.loss_terms": []}', '{"model.loss_terms": [{"kind": "mine"}]}'),
        ('{"init_from": "results/a/b"}', '{"init_from": ["results/a/b"]}'),
        ('{"init_from.run": "a", "init_from.parts": "encoder"}', '{"init_from.part": "encoder"}'),
        ('{"seeds": [0, 1]}', '{"seeds": [-1]}'),
        ('{"folds": 2}', '{"folds": 1}'),
        ('{"plugins": ["mine.py"]}', '{"plugins": [{"path": "mine.py"}]}'),
        ('{"extends": "base.yaml"}', '{"extends": 1}'),
        ('{"grid": {"train.epochs": [1, 2]}}', '{"grid": {"train.epochs": 1}}'),
        ('{"variants.a": null}', '{"variants.a": {"seeds": [0]}}'),
        ('{"variants.a.train.epochs": 1}', '{"variants.a.train.epochs": 0.5}'),
        ('{"name": "a"}', '{"experiment": "a"}'),
        ('{"run.deterministic": true}', '{"run.deterministic": "yes"}'),
    ],
)
def test_ranges_and_types(inside: str, outside: str, schema: Any) -> None:
    assert is_valid(with_values(inside), schema)
    assert not is_valid(with_values(outside), schema)


def test_a_section_without_its_kind_has_the_keys_of_one_kind(schema: Any) -> None:
    assert is_valid({"train": {"schedule": {"initial": 0.1}}}, schema)
    assert is_valid({"train": {"schedule": {"hold": 0.1}}}, schema)
    assert not is_valid({"train": {"schedule": {"initial": 0.1, "hold": 0.1}}}, schema)
    assert not is_valid({"train": {"schedule": {"kind": "cosine", "hold": 0.1}}}, schema)


@pytest.mark.parametrize("name", MODELS)
def test_the_resolved_spec_of_every_model_is_valid(name: str, schema: Any, tmp_path: Path) -> None:
    """Every key of every kind, with its default."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"name: a\ncorpus: b\nmodel: {{name: {name}}}\n")
    (cell,) = load_study(spec).cells
    keys = cell.without("experiment", "variant", "seed", "fold")
    assert is_valid({"name": "a", **keys}, schema)


def test_what_the_reader_says_of_the_slips_of_the_schema(tmp_path: Path, schema: Any) -> None:
    """The reader refuses what the schema refuses, key by key, of the sections of a training."""
    spec = tmp_path / "spec.yaml"
    for name, about in schema["definitions"]["TrainSpec"]["properties"].items():
        for bad in (-1, "slip", {"slip": 1}, [-1]):
            if is_valid(bad, about, schema):
                continue
            keys = {"name": "a", "corpus": "b", "train": {name: bad}}
            spec.write_text(json.dumps(keys))
            with pytest.raises(UserError, match=rf"train\.{name}"):
                load_study(spec)


def all_specs(kind: type[Spec]) -> Iterator[type[Spec]]:
    for each in kind.__subclasses__():
        yield each
        yield from all_specs(each)


def test_every_key_that_a_user_writes_has_a_description(schema: Any) -> None:
    own = {each.__name__ for each in all_specs(Spec) if each.__module__.startswith("asrbench.")}
    sections = {"a spec": schema}
    # Other tests may have registered kinds of plug-ins.
    sections |= {name: about for name, about in schema["definitions"].items() if name in own}
    assert len(sections) > 30
    missing = [
        f"{section}.{key}"
        for section, about in sections.items()
        for key, one in about["properties"].items()
        if not one.get("description")
    ]
    assert missing == []


def test_the_command_prints_it(schema: Any) -> None:
    code, out, _ = run("schema")
    assert code == 0
    assert json.loads(out) == schema
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    named = set(re.findall(r'"#/definitions/(\w+)"', out))
    assert named == schema["definitions"].keys()


def test_the_kinds_of_a_plugin_are_known(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "your_own_attention.md").read_text(encoding="utf-8")
    source = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert source is not None
    (tmp_path / "mine.py").write_text(source[1], encoding="utf-8")
    # In a process of its own: this one's registry stays as it is.
    command = [sys.executable, "-m", "asrbench", "schema", "--plugin", str(tmp_path / "mine.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    keys = with_values('{"model.name": "ds2_decay", "model.encoder.attention.kind": "decay"}')
    assert is_valid(keys, json.loads(done.stdout))
    assert not is_valid(keys, spec_schema())
