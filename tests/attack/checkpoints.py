"""Attacks on weights and on states to resume from."""

import json
import os
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from mutations import BYTES, other_value, without_key
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from asrbench.base.files import digest
from asrbench.recogniser import weights_file
from attack.attempt import Attack, Attempt, refused
from attack.bounded import Outcome
from attack.damage import BLOCKS, damage, done, undone
from attack.runs import FOLDER_OF, RESULTS, run_folder

# Weights

COMMANDS = ("transcribe", "transcribe", "transcribe", "verify", "verify", "eval")
"""How often each command is tried: cheap ones more often than others."""


def _command(home: Path, command: str) -> tuple[object, ...]:
    folder = run_folder(home, "ds2")
    arguments: dict[str, tuple[object, ...]] = {
        "transcribe": (folder, "test0.wav", "train0.wav", "--device", "cpu"),
        "verify": (RESULTS,),
        "eval": (folder, "--device", "cpu"),
    }
    return (command, *arguments[command])


def _result(home: Path, command: str, outcome: Outcome) -> object:
    if command == "eval":
        return (run_folder(home, "ds2") / "hypotheses.test.jsonl").read_bytes()
    return outcome.out if command == "transcribe" else outcome.status


def _checks(home: Path) -> dict[str, Callable[[Outcome], str | None]]:
    """Returns for each command the check that it gives what it gives with the whole weights."""
    whole = {}
    with undone(home):
        for command in sorted({*COMMANDS}):
            whole[command] = _result(home, command, done(*_command(home, command), folder=home))

    def check_of(command: str) -> Callable[[Outcome], str | None]:
        def check(outcome: Outcome) -> str | None:
            same = outcome.status == 2 or _result(home, command, outcome) == whole[command]
            return None if same else "gave another result than the whole weights"

        return check

    return {command: check_of(command) for command in whole}


def _weights(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    checks = _checks(home)
    folder = run_folder(home, "ds2")
    best = folder / "checkpoints/best.safetensors"
    other = run_folder(home, FOLDER_OF["ds2"]) / "checkpoints/best.safetensors"
    for number in range(count):
        command = draw.choice(COMMANDS)
        with undone(home):
            what, check = _damaged_weights(best, other, number, draw)
            if check is refused and command == "verify":
                check = _anything  # it compares weights with their digest, and loads no model
            yield Attempt(f"{what}, {command}", _command(home, command), check or checks[command])


def _damaged_weights(
    best: Path, other: Path, number: int, draw: random.Random
) -> tuple[str, Callable[[Outcome], str | None] | None]:
    """Damages the weights. Returns in words how, and the check if it is another than equality."""
    match number % 4:
        case 0:
            return damage(best, draw), None
        case 1:
            return _damaged_header(best, draw), None
        case 2:
            return _unsigned_metadata(best, draw), _anything
        case _:
            return _signed_weights(best, other, draw), refused


def _anything(outcome: Outcome) -> None:
    return None


def _damaged_header(path: Path, draw: random.Random) -> str:
    """Damages the length or the JSON of the header, in which sizes and metadata are."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length], content[8 + length :]
    how = draw.choice([*BYTES, other_value, without_key, None])
    if how is None:
        length = draw.choice([0, 1, length - 1, length + 1, 2**31, 2**63, 2**64 - 1])
    else:
        header = how(header, draw)
        length = draw.choice([len(header), length])
    path.write_bytes(length.to_bytes(8, "little") + header + data)
    return f"header {how.__name__ if how else f'of {length} bytes'}"


def _unsigned_metadata(path: Path, draw: random.Random) -> str:
    """Puts other values into the metadata, of which files of earlier versions have no digest."""
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["asrbench"])
    metadata.pop("digest", None)
    how = draw.choice([without_key, other_value])
    changed = how(json.dumps(metadata).encode(), draw).decode()
    save_file(load_file(path), path, {"asrbench": changed})
    return f"metadata without a digest, {how.__name__}"


def _signed_weights(path: Path, other: Path, draw: random.Random) -> str:
    """Writes weights that no run has, with the right digest."""
    metadata, weights = weights_file.read(path)
    name = draw.choice(sorted(weights))
    tensor = weights[name]
    kind = draw.choice(["not finite", "of another shape", "missing", "new", "of the other run"])
    match kind:
        case "of the other run":
            shutil.copyfile(other, path)
            return "weights are those of the other run"
        case "not finite" if tensor.is_floating_point():
            tensor.view(-1)[draw.randrange(tensor.numel())] = draw.choice(
                [float("nan"), float("inf"), -float("inf")]
            )
        case "of another shape":
            weights[name] = torch.zeros(*tensor.shape, 2)
        case "missing":
            del weights[name]
        case _:
            weights[f"{name}.more"] = tensor.clone()
    weights_file.write(path, weights, metadata)
    return f"{name} is {kind}, with the right digest"


# States

LONGER = ("--only", "ds2", "--set", "train.epochs=3", "--results", "stopped", "--device", "cpu")
TRAIN = ("train", "tiny.yaml", *LONGER)


def _states(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Damages what a run that was stopped resumes from, which must not change its weights."""
    with undone(home):
        done(*TRAIN, folder=home)
        whole = _trained(home)
    for _ in range(4):  # one step each
        done(*TRAIN, "--max-hours", "1e-9", folder=home)
    (folder,) = (home / "stopped/tiny/ds2").iterdir()
    for number in range(count):
        with undone(home):
            if number % 5 == 4:
                what, check = _signed_state(folder, draw), _nothing_called(home)
            else:
                what, check = _damaged_run(folder, draw), _resumed(home, whole)
            yield Attempt(f"{what}, train", TRAIN, check)


def _trained(home: Path) -> dict[str, Any]:
    """Returns the weights of a run, and the figures of its history that do not depend on time."""
    (folder,) = (home / "stopped/tiny/ds2").iterdir()
    history = (folder / "history.jsonl").read_text().splitlines()
    found: dict[str, Any] = {
        name: {
            key: tensor.tolist()
            for key, tensor in load_file(folder / f"checkpoints/{name}.safetensors").items()
        }
        for name in ("best", "last")
    }
    return found | {"history": [(row["loss"], row["dev_cer"]) for row in map(json.loads, history)]}


def _resumed(home: Path, whole: dict[str, Any]) -> Callable[[Outcome], str | None]:
    def check(outcome: Outcome) -> str | None:
        if outcome.status == 2 or "is lost, the weights of epoch" in outcome.out:
            return None
        found = _trained(home)
        other = [name for name in whole if found[name] != whole[name]]
        return f"has another {other[0]} than the run that nothing happened to" if other else None

    return check


def _damaged_run(folder: Path, draw: random.Random) -> str:
    """Damages one file or all of a kind."""
    states = sorted(folder.glob("checkpoints/state*.pt"))
    names = ("checkpoints/best.safetensors", "checkpoints/last.safetensors", "history.jsonl")
    chosen = draw.choice(
        [states[:1], states[1:], states, *([folder / name] for name in names), states]
    )
    return ", ".join(damage(path, draw) for path in chosen)


def _nothing_called(home: Path) -> Callable[[Outcome], str | None]:
    return lambda outcome: "ran the code of a state" if (home / "called").exists() else None


class _Call:
    """An object whose pickle makes a folder when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("called",)


def _signed_state(folder: Path, draw: random.Random) -> str:
    """Writes a state of another content, with the digest of that in its name."""
    newest = max(folder.glob("checkpoints/state*.pt"), key=lambda path: path.stat().st_mtime_ns)
    kind = draw.choice(["other value", "missing", "bytes", "code", "code in a state"])
    stored = torch.load(newest, weights_only=True)
    key = draw.choice(sorted(stored))
    match kind:
        case "other value":
            stored[key] = draw.choice([None, -1, 1e308, "x", [], {}, [1], {"a": 1}, torch.zeros(2)])
            torch.save(stored, newest)
        case "missing":
            del stored[key]
            torch.save(stored, newest)
        case "code":
            newest.write_bytes(pickle.dumps(_Call()))
        case "code in a state":
            torch.save({**stored, key: _Call()}, newest)
        case _:
            newest.write_bytes(draw.choice(BLOCKS)(newest.read_bytes(), draw))
    steps = newest.stem.split("-")[1]
    newest.rename(newest.with_name(f"state-{steps}-{digest(newest)}.pt"))
    return f"{key} of a state: {kind}, with the right digest"


ATTACKS = (
    Attack(
        "weights",
        "damages weights and their metadata, and writes weights that no run has",
        _weights,
        2.5,
    ),
    Attack(
        "states",
        "damages what a stopped run resumes from, which must give the same weights",
        _states,
        1.5,
    ),
)
