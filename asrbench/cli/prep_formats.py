"""The commands of `asrbench prep` for corpora and formats that others made."""

from pathlib import Path
from typing import Annotated

import typer

from asrbench.cli.prep_common import CORES, Force, Jobs, Name, Out, SplitSeed, Strict, making

TakeDev = Annotated[int, typer.Option("--dev", help="Utterances to take from train, by speaker.")]


def librispeech(
    source: Annotated[Path, typer.Argument(help="The folder LibriSpeech, or the one above it.")],
    out: Out,
    train: Annotated[
        list[str] | None,
        typer.Option(help="A subset to train on; may be repeated.", show_default="train-*"),
    ] = None,
    dev: Annotated[
        list[str] | None, typer.Option(help="The same for dev.", show_default="dev-clean")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(help="The same for test.", show_default="test-clean")
    ] = None,
    strict: Strict = False,
    force: Force = False,
    jobs: Jobs = CORES,
) -> None:
    """LibriSpeech as OpenSLR distributes it.

    Other subsets that are there become splits of their own, test-other being test_other.
    """
    from asrbench.stages.prep import librispeech

    with making("librispeech", out, strict=strict, force=force, jobs=jobs) as how:
        librispeech.prepare(source, out, train=train or (), dev=dev or (), test=test or (), how=how)


def zeroth(
    source: Annotated[Path, typer.Argument(help="The folder with train_data_01, test_data_01.")],
    out: Out,
    dev: TakeDev = 1000,
    seed: SplitSeed = 0,
    strict: Strict = False,
    force: Force = False,
    jobs: Jobs = CORES,
) -> None:
    """Zeroth-Korean as OpenSLR distributes it.

    All speakers of train read from the same sentences, and so do those of dev.
    """
    from asrbench.stages.prep import zeroth

    with making("zeroth", out, strict=strict, force=force, jobs=jobs) as how:
        zeroth.prepare(source, out, dev=dev, seed=seed, how=how)


def commonvoice(
    source: Annotated[Path, typer.Argument(help="The folder of a language, with clips/.")],
    out: Out,
    validated: Annotated[
        bool, typer.Option("--validated", help="Train on all that shares nothing with dev, test.")
    ] = False,
    strict: Strict = False,
    force: Force = False,
    jobs: Jobs = CORES,
) -> None:
    """A language of Mozilla's Common Voice.

    Splits are those of train.tsv, dev.tsv and test.tsv.
    """
    from asrbench.stages.prep import commonvoice

    with making("commonvoice", out, strict=strict, force=force, jobs=jobs) as how:
        commonvoice.prepare(source, out, validated=validated, how=how)


def kaldi(
    source: Annotated[Path, typer.Argument(help="A data folder, or that of train, dev, test.")],
    out: Out,
    split_name: Annotated[
        str | None, typer.Option(help="Split of a single data folder.", show_default="train")
    ] = None,
    dev: TakeDev = 0,
    seed: SplitSeed = 0,
    name: Name = None,
    strict: Strict = False,
    force: Force = False,
    jobs: Jobs = CORES,
) -> None:
    """Kaldi data folders: wav.scp, text, utt2spk, segments.

    Paths are relative to where asrbench runs, or else to the data folder. Pipes are not run.
    """
    from asrbench.stages.prep import kaldi

    with making("kaldi", out, strict=strict, force=force, jobs=jobs) as how:
        kaldi.prepare(source, out, split_name=split_name, dev=dev, seed=seed, name=name, how=how)


def nemo(
    out: Out,
    source: Annotated[Path | None, typer.Argument(help="The manifest of train.")] = None,
    train: Annotated[Path | None, typer.Option(help="Another way to name it.")] = None,
    dev: Annotated[
        str, typer.Option(help="A manifest, or how many utterances to take from train.")
    ] = "0",
    test: Annotated[Path | None, typer.Option(help="The manifest of test.")] = None,
    seed: SplitSeed = 0,
    name: Name = None,
    strict: Strict = False,
    force: Force = False,
    jobs: Jobs = CORES,
) -> None:
    """NeMo manifests, one for each split.

    Paths are relative to the manifest, or else to where asrbench runs.
    """
    from asrbench.stages.prep import nemo

    with making("nemo", out, strict=strict, force=force, jobs=jobs) as how:
        nemo.prepare(
            source,
            out,
            train=train,
            dev=int(dev) if dev.isdecimal() else Path(dev),
            test=test,
            seed=seed,
            name=name,
            how=how,
        )


def lhotse(
    source: Annotated[Path, typer.Argument(help="A folder of manifests, or a file of cuts.")],
    out: Out,
    dev: TakeDev = 0,
    seed: SplitSeed = 0,
    name: Name = None,
    strict: Strict = False,
    force: Force = False,
    jobs: Jobs = CORES,
) -> None:
    """Lhotse manifests: recordings and supervisions, or cuts.

    Each supervision is an utterance; a manifest's name tells its split, as cuts_dev.jsonl.gz.
    """
    from asrbench.stages.prep import lhotse

    with making("lhotse", out, strict=strict, force=force, jobs=jobs) as how:
        lhotse.prepare(source, out, dev=dev, seed=seed, name=name, how=how)
