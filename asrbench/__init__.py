"""An honest ablation runner: does this attention make this speech recogniser better?

The commands are the product; these functions are for notebooks, scripts and plug-ins. Everything
heavy is imported when a function is called. docs/api.md shows each with an example.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from asrbench.recogniser.transcriber import Transcriber
    from asrbench.report.study import Study
    from asrbench.scoring.score import Score

__version__ = "0.1.0"

__all__ = [
    "compare",
    "load",
    "register_attention",
    "register_encoder",
    "register_head",
    "register_loss_term",
    "register_model",
    "score",
]


def load(
    run: str | Path, device: str = "auto", which: str | None = None, *, trust_plugins: bool = False
) -> "Transcriber":
    """Returns the trained recogniser of a run folder; its `transcribe(audio, sample_rate)` is text.

    `device` is "auto", "cpu" or "cuda". `which` is the checkpoint, "best", "last" or "average";
    without it, the one that the spec of the run chooses. A run folder from elsewhere has its
    plug-ins run only with `trust_plugins`. Raises `UserError`.
    """
    from asrbench.recogniser.transcriber import Transcriber

    return Transcriber.of_run(run, device, which, trust_plugins=trust_plugins)


def score(
    references: str | Iterable[str], hypotheses: str | Iterable[str], profile: str = "verbatim"
) -> "Score":
    """Returns the error rates of hypotheses against references, in the same order.

    The result has `cer`, `wer`, `swer`, `jer` as fractions, and the counts behind them; `profile`
    says what a CER counts. Raises `UserError` for lists of unequal length.
    """
    from asrbench.scoring.score import score

    return score(references, hypotheses, profile)


def compare(
    *paths: str | Path,
    baseline: str | None = None,
    split: str | None = None,
    profile: str | None = None,
    unit: Literal["character", "word"] = "character",
    replicates: int = 10_000,
    seed: int = 0,
    margin: float | None = None,
    controls: Iterable[str] = (),
    systems: Iterable[str] | None = None,
) -> "Study":
    """Returns the study of the scored runs at or below `paths` on a split: a frozen, typed record.

    It has the systems with their rates and intervals, the differences to the baseline, and a
    verdict on each; the tables and the page of `asrbench compare` show it for every split. The
    default `split` is `test`, otherwise the first that is scored; a note names the others.
    The bootstrap draws `replicates` from `seed`; 0 gives the rates alone. Variants that differ by
    less than `margin` points can be found equivalent; variants that are `controls` are no part of
    the family that p-values are corrected for. `systems` are labels, such as "ds2_crossattn
    [joint]", of the only rows that are compared, whatever their searches are. Raises `UserError`.
    """
    from asrbench.stages.compare.study import study_of

    return study_of(
        *(map(Path, paths), baseline, split, profile, unit, replicates, seed),
        *(margin, tuple(controls), None if systems is None else tuple(systems)),
    )


# For plug-ins


def register_attention(spec: type, block: Any) -> None:
    """Registers an attention block, built as `block(spec, width=D)`.

    `spec` is a subclass of `AttentionSpec` with `kind: Literal["name"] = "name"`.
    """
    from asrbench.experiment.spec_model import ATTENTION

    ATTENTION.register(spec, block)


def register_encoder(spec: type, encoder: Any) -> None:
    """Registers an encoder, built as `encoder(spec, bins=F)`.

    `spec` is a subclass of `EncoderSpec` with `kind: Literal["name"] = "name"`.
    """
    from asrbench.experiment.spec_model import ENCODERS

    ENCODERS.register(spec, encoder)


def register_head(spec: type, head: Any) -> None:
    """Registers a head, built as `head(spec, width=D, symbols=V)`.

    `spec` is a subclass of `HeadSpec` with `kind: Literal["name"] = "name"`.
    """
    from asrbench.experiment.spec_model import HEADS

    HEADS.register(spec, head)


def register_loss_term(spec: type, term: Any) -> None:
    """Registers a loss term, built as `term(spec, width=D, symbols=V)`.

    `spec` is a subclass of `LossTermSpec` with `kind: Literal["name"] = "name"`.
    """
    from asrbench.experiment.spec_model import LOSS_TERMS

    LOSS_TERMS.register(spec, term)


def register_model(
    name: str,
    *,
    encoder: Mapping[str, Any],
    head: Mapping[str, Any] | None = None,
    differs: str = "",
    source: str = "",
    control_of: str | None = None,
) -> None:
    """Registers a model under the name that a spec gives as `model.name`.

    `encoder` and `head` are keys as in a spec; the kinds among them define the model. Without a
    head it is CTC. `control_of` names the model whose size or cost a control matches; controls are
    no part of the family that p-values are corrected for.
    """
    from asrbench.experiment.registry import CTC
    from asrbench.experiment.registry import register_model as register

    register(
        name,
        encoder=encoder,
        head=head or CTC,
        differs=differs,
        source=source,
        control_of=control_of,
    )
