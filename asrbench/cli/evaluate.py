"""`asrbench eval`: decodes splits with trained runs, and scores them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrbench.base.errors import UserError
from asrbench.cli.options import (
    EVERY_SPLIT,
    Decode,
    DecodeSets,
    Device,
    EvaluatedCorpus,
    Lm,
    TrustPlugins,
    decode_sets,
)
from asrbench.cli.terminal import Terminal, echo

if TYPE_CHECKING:
    from asrbench.recogniser.tuning import Tuning
    from asrbench.stages.evaluate import Evaluation


def evaluate(
    paths: Annotated[list[Path], typer.Argument(metavar="RUN_OR_DIR...", help="Run folders.")],
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="Split to decode; repeatable.", show_default=EVERY_SPLIT),
    ] = None,
    corpus: EvaluatedCorpus = None,
    decode: Decode = None,
    lm: Lm = None,
    sets: DecodeSets = None,
    tune: Annotated[
        bool,
        typer.Option("--tune", help="Choose lm_weight and length_bonus on the dev set first."),
    ] = False,
    device: Device = "auto",
    trust_plugins: TrustPlugins = False,
) -> None:
    """Decode the evaluation splits with trained runs, and score them.

    The hypotheses and the scores are saved in the run folders, those with a language model beside
    those without. On another corpus than the run was trained on, they are saved as those of
    SPLIT@CORPUS, so that they never stand among its own.

    With --tune each run decodes its dev set with the same grid of weights, takes the pair with the
    lowest dev CER, and is then tested with it. The test set has no say.
    """
    from asrbench.experiment.run_folder import Run
    from asrbench.stages.evaluate import evaluate_runs

    evaluated: dict[str, None] = {}
    with Terminal() as terminal:
        for each in evaluate_runs(
            Run.find(paths),
            split or (),
            decode,
            device,
            terminal,
            corpus=corpus,
            sets=decode_sets(sets, lm),
            tune=tune,
            trust_plugins=trust_plugins,
        ):
            terminal.say(f"{each.run}  {each.split} {each.decode}")
            for line in [*tuning_lines(each.tuning), *score_lines(each)]:
                terminal.say(f"  {line}")
            evaluated[each.split] = None
    if not evaluated:
        raise UserError(f"{paths[0]}: found no run to evaluate; `asrbench train` makes weights")
    echo(f"next: {_next_command(paths, list(evaluated))}")


def _next_command(paths: list[Path], splits: list[str]) -> str:
    """Returns the command that compares what was evaluated; it has to name splits of training."""
    from asrbench.data.corpus import TRAINING_SPLITS

    named = splits if {*splits} & {*TRAINING_SPLITS} else []
    options = "".join(f" --split {name}" for name in named)
    return f"asrbench compare {' '.join(map(str, paths))}{options}"


def tuning_lines(tuning: "Tuning | None") -> Iterator[str]:
    """Yields the dev CERs of the grid as a table, a line for each weight of the language model."""
    if tuning is None:
        return
    cers = {(t.lm_weight, t.length_bonus): t.cer for t in tuning.trials}
    weights, bonuses = (list(dict.fromkeys(column)) for column in zip(*cers, strict=True))
    best = tuning.chosen
    yield f"dev CER % ({tuning.profile}, N {tuning.characters:,}) by lm_weight and length_bonus"
    yield "  weight" + "".join(f"{bonus:>8g}" for bonus in bonuses)
    for weight in weights:
        cells = (f"{100 * cers[weight, bonus]:8.2f}" for bonus in bonuses)
        yield f"{weight:>8g}" + "".join(cells)
    edge = "".join(f"; {key} is the greatest that was tried" for key in tuning.at_edge)
    yield f"chosen on dev: lm_weight {best.lm_weight:g}, length_bonus {best.length_bonus:g}{edge}"


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
