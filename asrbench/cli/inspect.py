"""`asrbench inspect`: shows what trained models attend to, and when they emit what."""

from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asrbench.base.errors import UserError
from asrbench.cli.options import EVERY_SPLIT, Device, EvaluatedCorpus, TrustPlugins
from asrbench.cli.terminal import Terminal

if TYPE_CHECKING:
    from asrbench.stages.inspect.inspection import InspectedRun
    from asrbench.stages.inspect.records import LayerAttention

_LEGEND = (
    "distance, entropy: means over the heads of a layer; the distance beside that of\n"
    "uniform weights, the entropy as a share of theirs"
)


def inspect(
    paths: Annotated[list[Path], typer.Argument(metavar="RUN_OR_DIR...", help="Run folders.")],
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="Split to inspect; repeatable.", show_default=EVERY_SPLIT),
    ] = None,
    utterance: Annotated[
        list[str] | None,
        typer.Option("--utterance", help="Id of an utterance to draw; repeatable."),
    ] = None,
    count: Annotated[
        int,
        typer.Option("--count", min=1, help="Utterances to draw, evenly spaced by duration."),
    ] = 4,
    weights: Annotated[
        Literal["best", "last", "average"] | None,
        typer.Option(
            "--weights", help="Checkpoint to inspect.", show_default="the one that eval tests"
        ),
    ] = None,
    corpus: EvaluatedCorpus = None,
    device: Device = "auto",
    trust_plugins: TrustPlugins = False,
) -> None:
    """Show what trained models attend to, and when they emit what.

    Computes attention distance and entropy over a whole split, and draws attention maps and CTC
    posteriors, with the reference aligned to them, for a few utterances. Draws the gradient norm
    by depth over training.

    The files are saved in the run folders, those of the gradient in the first folder.
    """
    from asrbench.experiment.run_folder import Run
    from asrbench.stages.inspect.gradients import write_gradients
    from asrbench.stages.inspect.inspection import inspect_run

    runs, folder = Run.find(paths), paths[0]
    inspected, has_attention = 0, False
    readable: list[Run] = []
    errors: list[UserError] = []
    with Terminal() as terminal:
        for run in runs:
            try:
                run.history()  # from which the gradients are drawn at the end
                if not run.weights_path(weights).is_file():
                    terminal.say(f"{run}: skipped, {run.missing_weights(weights)}")
                    readable.append(run)
                    continue
                for found in inspect_run(
                    run,
                    split or (),
                    utterance or (),
                    count,
                    weights,
                    device,
                    terminal,
                    corpus=corpus,
                    trust_plugins=trust_plugins,
                ):
                    for line in _run_lines(found):
                        terminal.say(line)
                    inspected += 1
                    has_attention = has_attention or bool(found.inspection.layers)
            except UserError as error:
                if len(runs) == 1:
                    raise
                terminal.say(f"{run}: skipped, {error}")
                errors.append(error)
            else:
                readable.append(run)
        if has_attention:
            terminal.say(_LEGEND)
        sentences = write_gradients(readable, folder)
        for line in sentences:
            terminal.say(line)
        if sentences:
            terminal.say(f"wrote {folder / 'gradients.json'}, and its picture as .png and .svg")
        else:
            terminal.say("no gradients by depth: no history has those of two layers of a stack")
    if errors:
        raise UserError(f"{len(errors)} of {len(runs)} runs were skipped: {errors[0]}")
    if not inspected and not sentences:
        raise UserError(f"{folder}: found nothing to inspect; `asrbench train` makes weights")


def _run_lines(found: "InspectedRun") -> list[str]:
    """The run, a line for each attention layer, and the names of the files."""
    run, layers = found.run, found.inspection.layers
    figures = run.inspect_path(found.split)
    files = f"{figures.name}, {figures.stem}.npz and {len(found.pictures.paths)} pictures"
    return [
        f"{run}  {found.split}",
        *(f"  {name} {_layer_figures(layer)}" for name, layer in layers.items()),
        *([] if layers else ["  has no attention layer"]),
        f"  wrote {files}",
    ]


def _layer_figures(layer: "LayerAttention") -> str:
    """Means over the heads of a layer."""
    distances = [head.distance_ms for head in layer.heads if head.distance_ms is not None]
    shares = [head.entropy_relative for head in layer.heads if head.entropy_relative is not None]
    figures = []
    if distances:
        figures.append(f"distance {fmean(distances):.0f} of {layer.uniform_distance_ms:.0f} ms")
    if shares:
        figures.append(f"entropy {100 * fmean(shares):.0f} %")
    return f"({layer.relates}): {', '.join(figures)}"
