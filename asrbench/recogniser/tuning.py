"""Chooses the weights of a search with a language model on the development set.

Every run tries the same grid and takes the pair with the lowest dev CER under its own profile; the
first of equals, which is the one with the smaller weight, then the smaller bonus. The test set has
no say.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch

from asrbench.base.errors import UserError
from asrbench.data.batch_sampler import length_plan
from asrbench.data.corpus import Split
from asrbench.recogniser.decoder import Decoder, searches_with_lm
from asrbench.recogniser.loader import load
from asrbench.recogniser.recogniser import Recogniser
from asrbench.scoring.edit_counts import ErrorCounts, character_errors
from asrbench.text.profiles import PROFILES

GRID: dict[str, list[float]] = {
    "lm_weight": [0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.2],
    "length_bonus": [0.0, 0.5, 1.0, 1.5, 2.0, 3.0],
}
"""The values that are tried, by key of `decode`; every pair of them."""


@dataclass(frozen=True)
class Trial:
    """One pair of values and the errors of the development set with it."""

    lm_weight: float
    length_bonus: float
    errors: int
    cer: float


@dataclass(frozen=True)
class Tuning:
    """What the development set says about every pair of the grid."""

    search: str
    lm: str
    """The digest of the language model."""
    beam: int
    profile: str
    """The scoring profile of the CERs."""
    utterances: int
    characters: int
    trials: tuple[Trial, ...]

    @property
    def chosen(self) -> Trial:
        """The pair with the fewest errors."""
        return min(self.trials, key=lambda trial: trial.errors)

    @property
    def at_edge(self) -> list[str]:
        """The keys of which the greatest value that was tried is chosen: more might be better."""
        return [key for key, values in GRID.items() if getattr(self.chosen, key) == values[-1]]


def tuned(
    recogniser: Recogniser,
    decoder: Decoder,
    dev: Split,
    progress: Callable[[int, int], None],
) -> tuple[Decoder, Tuning]:
    """Returns the decoder with the weights that `dev` chooses, and all that was tried.

    Each utterance is encoded once and decoded once for each pair. `dev` has the references that
    the scoring profile counts. `progress` is told how many utterances of all are done. Raises
    `UserError` for a search without a language model.
    """
    lm = decoder.decoding.lm
    if lm is None:
        raise UserError(_without_lm(decoder.search, searches_with_lm(recogniser.model.head)))
    pairs = [dict(zip(GRID, pair, strict=True)) for pair in product(*GRID.values())]
    decoders = [decoder.with_settings(**pair) for pair in pairs]
    rows: dict[str, list[str]] = {}
    for ids, texts in _decoded(recogniser, decoders, dev):
        rows |= dict(zip(ids, texts, strict=True))
        progress(len(rows), len(dev))
    profile = recogniser.cell.score.profile
    hypotheses = zip(*(rows[id] for id in dev.ids), strict=True)
    counts = [_errors(dev, list(texts), profile) for texts in hypotheses]
    found = Tuning(
        search=decoder.search,
        lm=lm.lm.digest,
        beam=decoder.decoding.settings.beam,
        profile=str(PROFILES[profile]),
        utterances=len(dev),
        characters=counts[0].n,
        trials=tuple(
            Trial(**pair, errors=count.errors, cer=count.rate)
            for pair, count in zip(pairs, counts, strict=True)
        ),
    )
    best = decoders[found.trials.index(found.chosen)]
    return replace(best, grid=GRID), found


def _without_lm(search: str, allowed: Sequence[str]) -> str:
    """Returns what to do where a search was given no language model to tune."""
    if search in allowed:
        remedy = "has none; give it one with --lm FILE"
    else:
        remedy = (
            f"reads none; allowed with --lm FILE: {', '.join(allowed) or 'none of its searches'}"
        )
    return f"--tune: chooses the weight of a language model, and the search '{search}' {remedy}"


@torch.inference_mode()
def _decoded(
    recogniser: Recogniser, decoders: Sequence[Decoder], dev: Split
) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Yields the ids of each batch, and for each utterance its text under every decoder."""
    model, tokenizer = recogniser.model.eval(), recogniser.tokenizer
    plan = length_plan(dev.samples, recogniser.cell.train.batch_seconds)
    search = model.head.searches[decoders[0].search]
    for batch in load(dev, tokenizer, plan):
        encoded = recogniser.encode(batch)
        with recogniser.precision():
            found = [search(encoded, decoder.decoding) for decoder in decoders]
        yield batch.ids, [[*map(tokenizer.decode, each)] for each in zip(*found, strict=True)]


def _errors(dev: Split, hypotheses: list[str], profile: str) -> ErrorCounts:
    other = PROFILES[profile].other_side_among(dev.sides)
    side = None if other is None else dev.column(other)
    return character_errors(dev.texts, hypotheses, profile, side)
