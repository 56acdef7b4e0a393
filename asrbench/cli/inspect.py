"""`asrbench inspect`: what happens inside trained models, in files and pictures."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from asrbench.base.errors import UserError
from asrbench.base.files import atomic, write_json
from asrbench.cli.options import Device
from asrbench.cli.terminal import Terminal

if TYPE_CHECKING:
    from asrbench.experiment.run_folder import Run
    from asrbench.stages.inspect import Inside


def inspect(
    paths: Annotated[list[Path], typer.Argument(metavar="RUN_OR_DIR...", help="Run folders.")],
    split: Annotated[
        list[str] | None, typer.Option("--split", help="Split to look at; repeatable.")
    ] = None,
    utterance: Annotated[
        list[str] | None, typer.Option("--utterance", help="Id to keep and draw; repeatable.")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", min=1, help="Utterances kept, evenly spaced by duration.")
    ] = 4,
    weights: Annotated[
        Literal["best", "last"], typer.Option("--weights", help="Of which epoch.")
    ] = "best",
    device: Device = "auto",
) -> None:
    """Show what trained runs attend to, and when they say what.

    Attention distance and entropy over a whole split; maps, CTC posteriors with the reference
    aligned to them, and pictures, of a few utterances. Beside them the gradient by depth.
    """
    from asrbench.experiment.run_folder import Run

    runs = Run.find(paths)
    inspected = 0
    with Terminal() as terminal:
        for run in runs:
            if not run.weights_path(weights).is_file():
                terminal.say(f"{run}: has no weights here, left out")
                continue
            for name in split or ["test"]:
                _inspect(run, name, utterance or [], count, weights, device, terminal)
                inspected += 1
        drawn = _gradients(runs, paths[0], terminal)
    if not inspected and not drawn:
        raise UserError(f"{paths[0]}: found nothing to look into; `asrbench train` leaves weights")


def _inspect(
    run: "Run",
    split_name: str,
    ids: Sequence[str],
    count: int,
    weights: str,
    device: str,
    terminal: Terminal,
) -> None:
    from asrbench.stages import inspect
    from asrbench.stages.evaluate import load_recogniser, open_corpus
    from asrbench.text.profiles import PROFILES

    recogniser = load_recogniser(run, device, weights)
    corpus = open_corpus(run, recogniser)
    split = corpus.split(split_name)
    split = split.on(PROFILES[run.cell.score.profile].side_among(split.sides))
    chosen = inspect.choose(split, ids, count, f"{corpus.folder}, {split_name}: --utterance")
    seen = inspect.look(recogniser, split, chosen, terminal)
    seen.figures.update(split=split_name, checkpoint=weights, side=split.side)
    made = _write(run, split_name, seen)
    for line in _lines(seen.figures["layers"]):
        terminal.say(f"{run}  {line}")
    terminal.say(f"wrote {run.inspect_path(split_name)}, .npz beside it, {made} pictures")


def _write(run: "Run", split: str, seen: "Inside") -> int:
    """The number of pictures. The JSON names them, and comes last; what an earlier look left and
    this one did not make is deleted."""
    import numpy as np

    # Not by a wider pattern: a split may be called `test.clean`.
    patterns = ("layers.*", "[0-9]*.attention.*", "[0-9]*.posteriors.*")
    earlier = {path for each in patterns for path in run.folder.glob(f"inspect.{split}.{each}")}
    with (
        atomic(run.inspect_path(split, "npz")) as temporary,
        temporary.open("wb") as file,
    ):
        np.savez_compressed(file, allow_pickle=False, **seen.arrays)
    made = _draw(run, split, seen)
    write_json(run.inspect_path(split), seen.figures)
    for path in earlier - made:
        path.unlink()
    return len(made)


def _draw(run: "Run", split: str, seen: "Inside") -> set[Path]:
    from asrbench.report.plots import inspect as plots

    made: set[Path] = set()

    def save(name: str, figure: Any) -> list[str]:
        paths = [run.inspect_path(split, f"{name}{form}") for form in plots.FORMATS]
        plots.save(paths, figure)
        made.update(paths)
        return [path.name for path in paths]

    cell, figures = run.cell, seen.figures
    model = f"{cell.variant}, seed {cell.seed}, epoch {figures['epoch']}"
    frame_s, first_s = figures["frame_ms"] / 1000, figures["first_ms"] / 1000
    figures["pictures"] = []
    if layers := figures["layers"]:
        title = f"{model}: attention over {split}, N = {figures['utterances_seen']:,} utterances"
        figures["pictures"] = save("layers", plots.by_layer(layers, title=title))
    for k, each in enumerate(figures["utterances"]):
        title, times = f"{model}: {split} {each['id']}", {"frame_s": frame_s, "first_s": first_s}
        each["pictures"] = []
        if layers:
            maps = [
                plots.Maps(name, seen.arrays[f"{k}.{name}"].astype(float), layer["relates"])
                for name, layer in layers.items()
            ]
            drawn = plots.attention(maps, title=title, **times)
            each["pictures"] += save(f"{k}.attention", drawn)
        if each["alignment"]:
            spoken = [
                plots.Symbol(s["symbol"], s["index"], s["start_ms"] / 1000, s["end_ms"] / 1000)
                for s in each["alignment"]
            ]
            drawn = plots.posteriors(seen.arrays[f"{k}.log_probs"], spoken, title=title, **times)
            each["pictures"] += save(f"{k}.posteriors", drawn)
    return made


def _lines(layers: dict[str, dict[str, Any]]) -> list[str]:
    """A line a layer: means over its heads."""
    lines = []
    for name, figures in layers.items():
        parts = [f"{name} ({figures['relates']}, {len(figures['heads'])} heads)"]
        distances = [h["distance_ms"] for h in figures["heads"] if h["distance_ms"] is not None]
        if distances:
            uniform = figures["uniform_distance_ms"]
            parts.append(f"distance {fmean(distances):.0f} ms, if even {uniform:.0f} ms")
        shares = [h["entropy_relative"] for h in figures["heads"]]
        if None not in shares and shares:
            parts.append(f"entropy {100 * fmean(shares):.0f} % of an even spread")
        lines.append(", ".join(parts))
    return lines or ["has no attention to look into"]


def _gradients(runs: "Sequence[Run]", folder: Path, terminal: Terminal) -> bool:
    """Whether there was anything to draw: runs whose history tells the norms of layers."""
    from asrbench.analysis.gradients import Descent, descent, in_words
    from asrbench.experiment.registry import MODELS
    from asrbench.report.plots import inspect as plots

    variants: dict[str, list[Descent]] = {}
    for run in runs:
        if found := descent(run.cell.seed, run.history()):
            variants.setdefault(run.cell.variant, []).append(found)
    if not variants:
        terminal.say("no history tells the gradient of several recurrent layers: no picture of it")
        return False
    order = [*MODELS, *variants]
    variants = {name: variants[name] for name in sorted(variants, key=order.index)}
    words = list(in_words(variants, order[0]))
    paths = [folder / f"gradients{form}" for form in plots.FORMATS]
    plots.save(paths, plots.gradients(variants, title="Gradient norm by depth, over training"))
    by_run = {
        name: [{"seed": r.seed, "epochs": r.epochs, "ratios": r.ratios} for r in found]
        for name, found in variants.items()
    }
    write_json(folder / "gradients.json", {"variants": by_run, "words": words})
    for line in words:
        terminal.say(line)
    terminal.say(f"wrote {folder / 'gradients.json'}, .png and .svg beside it")
    return True
