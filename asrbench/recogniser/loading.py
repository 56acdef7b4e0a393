"""Opens the recogniser of a run folder, with its plug-ins, and its corpus."""

from pathlib import Path

from asrbench.base.errors import UserError
from asrbench.data.corpus import Corpus, find_corpus
from asrbench.data.folds import CorpusFold
from asrbench.experiment import plugins
from asrbench.experiment.run_folder import Run, split_elsewhere
from asrbench.recogniser.devices import resolve_device
from asrbench.recogniser.recogniser import Recogniser


def load_recogniser(
    run: Run, device: str = "auto", which: str | None = None, *, trust_plugins: bool = False
) -> Recogniser:
    """Returns the recogniser of `run`, from its checkpoint `which`.

    Without `which` it is the checkpoint that `train.weights` chooses for testing; the test split
    has no say in that. Raises `UserError` if the checkpoint belongs to another spec, and for
    plug-ins that are not trusted.
    """
    plugins.load_copies(run.plugins_path, run.cell.plugins, trust=trust_plugins)
    path = run.weights_path(which)
    recogniser = Recogniser.load(path, resolve_device(device))
    found = recogniser.cell.identity(recogniser.fingerprint)
    wanted = run.cell.identity(recogniser.fingerprint)
    if found != wanted:
        raise UserError(
            f"{path}: found the weights of another spec ({found}), but "
            f"{run.spec_path.name} beside them is {wanted}; train it again"
        )
    return recogniser


def open_corpus(run: Run, recogniser: Recogniser, folder: Path | None = None) -> Corpus:
    """Returns the corpus of `run`, or the fold of it that the run is tested on.

    It is looked for at `run.corpus_places`, or else is that in `folder`, which may also be another
    one than the run was trained on; `split_label` tells them apart. Raises `UserError` if there is
    none, if that of the spec is not the one that the run was trained on, and for another corpus if
    the run is a fold.
    """
    found = folder or find_corpus(run.corpus_places, ", or say where it is with --corpus DIR")
    corpus, fold = Corpus.open(found), run.cell.fold
    if corpus.fingerprint == recogniser.fingerprint:
        return CorpusFold.of(corpus, fold.index, fold.of) if fold else corpus
    if folder is None or fold:
        only = "; a fold is tested on its own corpus only" if folder else ""
        raise UserError(
            f"{corpus.folder}: found a corpus with fingerprint {corpus.fingerprint}, but {run} "
            f"was trained on {recogniser.fingerprint}{only}"
        )
    return corpus


def split_label(split: str, corpus: Corpus, recogniser: Recogniser) -> str:
    """Returns the name under which figures on a split of `corpus` are stored in a run.

    It is that of the split and, if the run was trained on another corpus, also of the corpus.
    """
    if corpus.fingerprint == recogniser.fingerprint:
        return split
    return split_elsewhere(split, corpus.name, corpus.fingerprint)
