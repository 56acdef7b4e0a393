"""Trains an n-gram language model of a tokenizer's symbols on the training texts of a corpus."""

from dataclasses import dataclass
from pathlib import Path

from asrbench.base.errors import UserError, pick
from asrbench.base.files import write_text
from asrbench.data.corpus import Corpus, Split, find_corpus
from asrbench.data.folds import DEV, TRAIN, CorpusFold
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import TextSpec
from asrbench.text.ngram_lm import LmSource, NgramLm, SymbolLm
from asrbench.text.ngram_training import trained_arpa
from asrbench.text.profiles import Side
from asrbench.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class LmTexts:
    """The texts that a language model is trained on, and the tokenizer of its symbols."""

    corpus: Corpus
    side: Side
    tokenizer: Tokenizer
    fold: str | None = None
    """The fold that the texts leave out, as `fold 2 of 5`; None for a whole corpus."""

    @classmethod
    def of_corpus(cls, folder: Path, text: TextSpec) -> "LmTexts":
        """Returns the texts of a corpus, and a tokenizer as training would learn it.

        Raises `UserError` for a corpus that cannot be read or has no such texts.
        """
        corpus = Corpus.open(folder)
        texts = _texts(corpus, TRAIN, text.side).texts
        return cls(corpus, text.side, Tokenizer.of(text.unit, texts, text.vocabulary))

    @classmethod
    def of_run(cls, run: Run) -> "LmTexts":
        """Returns the texts that a run was trained on, and its tokenizer.

        Those of a fold leave out the texts that it is tested on. Raises `UserError` for a run
        without weights and for a corpus that is not the run's.
        """
        from asrbench.recogniser.recogniser import Recogniser  # loads torch

        path = run.weights_path()
        if not path.is_file():
            raise UserError(f"{run}: {run.missing_weights()}")
        tokenizer, spec = Recogniser.tokenizer_of(path), Recogniser.spec_of(path)
        if tokenizer is None or spec is None:
            raise UserError(f"{path}: is damaged, or of another version; train the run again")
        corpus, cell = Corpus.open(find_corpus(run.corpus_places)), run.cell
        if corpus.fingerprint != spec[1]:
            raise UserError(
                f"{corpus.folder}: found a corpus with fingerprint {corpus.fingerprint}, but {run} "
                f"was trained on {spec[1]}"
            )
        if cell.fold is None:
            return cls(corpus, cell.text.side, tokenizer)
        fold = CorpusFold.of(corpus, cell.fold.index, cell.fold.of)
        return cls(fold, cell.text.side, tokenizer, str(cell.fold))

    @property
    def source(self) -> LmSource:
        """What the file of the language model says about itself."""
        own = self.tokenizer
        return LmSource(
            tokenizer=own.digest,
            unit=own.unit,
            symbols=len(own.symbols),
            corpus=self.corpus.fingerprint,
            side=self.side,
            fold=self.fold,
        )


@dataclass(frozen=True)
class TrainedLm:
    """A trained language model."""

    lm: NgramLm
    texts: LmTexts
    sentences: int
    """The number of training texts."""
    perplexity: float | None
    """The perplexity on the development texts, for each symbol and end; None without a dev split.

    Symbols that the tokenizer does not have are left out.
    """


def train_lm(texts: LmTexts, order: int, out: Path) -> TrainedLm:
    """Trains a language model of the given order on the split `train`, and writes it to `out`."""
    tokenizer = texts.tokenizer
    train = _texts(texts.corpus, TRAIN, texts.side).texts
    sentences = [[tokenizer.symbols[i - 1] for i in tokenizer.encode(text)] for text in train]
    has_dev = DEV in texts.corpus.split_names
    dev = _texts(texts.corpus, DEV, texts.side).texts if has_dev else []
    write_text(out, trained_arpa(sentences, order, texts.source))
    lm = NgramLm.read(out)
    perplexity = None
    if dev:
        perplexity = SymbolLm(lm, tokenizer).perplexity(map(tokenizer.encode, dev))
    return TrainedLm(lm, texts, len(sentences), perplexity)


def _texts(corpus: Corpus, split: str, side: Side) -> Split:
    found = corpus.split(split)
    pick(f"{corpus.folder}: --side", side, found.sides)
    return found.on(side)
