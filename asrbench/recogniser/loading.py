"""Opens the recogniser of a run folder, with its plug-ins, and its corpus."""

from pathlib import Path

from asrbench.base.errors import UserError
from asrbench.data.corpus import Corpus
from asrbench.data.folds import CorpusFold
from asrbench.experiment import plugins
from asrbench.experiment.run_folder import Run
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


def open_corpus(run: Run, recogniser: Recogniser) -> Corpus:
    """Returns the corpus of `run`, or the fold of it that the run is tested on.

    Raises `UserError` if it is not the one that the run was trained on.
    """
    corpus = Corpus.open(Path(run.cell.corpus))
    if corpus.fingerprint != recogniser.fingerprint:
        raise UserError(
            f"{corpus.folder}: found a corpus with fingerprint {corpus.fingerprint}, but {run} "
            f"was trained on {recogniser.fingerprint}"
        )
    fold = run.cell.fold
    return CorpusFold.of(corpus, fold.index, fold.of) if fold else corpus
