"""`asrbench eval`: decodes a split with trained runs, and scores it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrbench.base.errors import UserError
from asrbench.cli.options import Decode, DecodeSets, Device, Lm, TrustPlugins, decode_sets
from asrbench.cli.terminal import Terminal, echo

if TYPE_CHECKING:
    from asrbench.stages.evaluate import Evaluation


def evaluate(
    paths: Annotated[list[Path], typer.Argument(metavar="RUN_OR_DIR...", help="Run folders.")],
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="Split to decode; repeatable.", show_default="test"),
    ] = None,
    decode: Decode = None,
    lm: Lm = None,
    sets: DecodeSets = None,
    device: Device = "auto",
    trust_plugins: TrustPlugins = False,
) -> None:
    """Decode a split with trained runs, and score it.

    The hypotheses and the scores are saved in the run folders.
    """
    from asrbench.experiment.run_folder import Run
    from asrbench.stages.evaluate import evaluate_runs

    evaluated = 0
    with Terminal() as terminal:
        runs, splits = Run.find(paths), split or ["test"]
        for each in evaluate_runs(
            runs,
            splits,
            decode,
            device,
            terminal,
            sets=decode_sets(sets, lm),
            trust_plugins=trust_plugins,
        ):
            terminal.say(f"{each.run}  {each.split} {each.decode}")
            for line in score_lines(each):
                terminal.say(f"  {line}")
            evaluated += 1
    if not evaluated:
        raise UserError(f"{paths[0]}: found no run to evaluate; `asrbench train` makes weights")
    echo(f"next: asrbench compare {' '.join(map(str, paths))}")


def score_lines(evaluation: "Evaluation") -> list[str]:
    """Returns the printed scores, each line within 78 columns; jamo only where there is Hangul."""
    scores = evaluation.scores
    characters, words, jamo = scores.characters, scores.words, scores.jamo
    jamo_rate = f"  jamo {100 * jamo.rate:.2f} % (N {jamo.n:,})" if jamo.n != characters.n else ""
    lines = [
        f"CER {100 * characters.rate:.2f} % (S {characters.substitutions:,} "
        f"D {characters.deletions:,} I {characters.insertions:,} N {characters.n:,}, "
        f"{scores.profile})",
        f"WER {100 * words.rate:.2f} %  sWER {100 * scores.spaced_words.rate:.2f} % "
        f"(N {words.n:,}){jamo_rate}  RTF {evaluation.real_time_factor:.3f}",
    ]
    if evaluation.unknown_symbols:
        lines.append(
            f"{evaluation.unknown_symbols:,} symbols of the references are unknown to the model"
        )
    return lines
