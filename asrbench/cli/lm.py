"""`asrbench lm`: trains an n-gram language model of a tokenizer's symbols."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from asrbench.base.errors import UserError
from asrbench.cli.terminal import echo


def lm(
    out: Annotated[Path, typer.Option("--out", help="ARPA file to write.")],
    corpus: Annotated[
        Path | None, typer.Argument(help="A prepared corpus; its training texts are used.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Run whose corpus, fold, side and tokenizer are used instead."),
    ] = None,
    order: Annotated[int, typer.Option("--order", min=2, max=5, help="Longest n-gram.")] = 5,
    unit: Annotated[
        Literal["char", "syllable", "jamo", "subword"],
        typer.Option("--unit", help="text.unit of the runs that the model is for."),
    ] = "char",
    vocabulary: Annotated[
        int | None, typer.Option("--vocabulary", min=1, help="Subwords, as text.vocabulary.")
    ] = None,
    side: Annotated[
        Literal["text", "spelling", "phonetic"],
        typer.Option("--side", help="text.side of the runs that the model is for."),
    ] = "text",
) -> None:
    """Train an n-gram language model of a tokenizer's symbols.

    It reads the training texts alone. The file says which tokenizer and corpus it is of, and
    `asrbench eval --decode beam --lm FILE` decodes the runs with that tokenizer.
    """
    from asrbench.experiment.run_folder import Run
    from asrbench.experiment.spec_file import text_of
    from asrbench.stages.lm import LmTexts, train_lm

    if (corpus is None) == (run is None):
        found = "neither" if corpus is None else "both"
        raise UserError(f"lm: found {found}, allowed: a CORPUS or --run RUN")
    if corpus is not None:
        texts = LmTexts.of_corpus(corpus, text_of(unit=unit, vocabulary=vocabulary, side=side))
    else:
        runs = Run.find([run] if run else [])
        if len(runs) > 1:
            raise UserError(f"{run}: found {len(runs)} runs, allowed: one; the first is {runs[0]}")
        texts = LmTexts.of_run(runs[0])
    trained = train_lm(texts, order, out)
    source, counts = texts.source, " + ".join(f"{count:,}" for count in trained.lm.counts)
    echo(
        f"{out}: {sum(trained.lm.counts):,} n-grams ({counts}) of {trained.sentences:,} texts, "
        f"digest {trained.lm.digest}"
    )
    echo(f"  {source.unit}, {source.symbols:,} symbols, tokenizer {source.tokenizer}")
    if trained.perplexity is not None:
        echo(f"  perplexity on dev {trained.perplexity:.2f} for each symbol and end")
    echo(f"next: asrbench eval RUN --decode beam --lm {out} --tune")
