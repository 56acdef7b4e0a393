"""Utterances whose audio is still in files, and the loop that writes them into a corpus."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from asrbench.base.errors import Fault
from asrbench.data.segment import WHOLE, AudioFault, Segment
from asrbench.stages.prep.recipe import Preparation

if TYPE_CHECKING:
    from asrbench.data.corpus_writer import CorpusWriter, Utterance

AHEAD = 4
"""Utterances, for each job, that are read before they are written. This bounds the memory."""

MIN_SAMPLES = 400
"""One analysis window of 25 ms at 16 kHz. A shorter utterance gives no feature frame."""


class Readable(Protocol):
    """An utterance that is still in files."""

    @property
    def id(self) -> str:
        """Returns the id, which is unique in the corpus."""
        ...

    def read(self) -> "Utterance":
        """Reads the utterance, in any thread. Raises `Fault` if it cannot be used."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """An utterance whose audio is still in a file. `raw` is its text as distributed."""

    id: str
    audio: Path
    text: str
    speaker: str | None = None
    raw: str | None = None
    channel: str | None = None
    """The mark of the channel in the lists. `segment` says which channel is read."""
    language: str | None = None
    segment: Segment = WHOLE
    remarks: tuple[str, ...] = ()

    def read(self) -> "Utterance":
        """Reads and cuts the audio. Raises `Fault` if it cannot be read or is too short."""
        from asrbench.data.audio import read_segment
        from asrbench.data.corpus_writer import Utterance

        try:
            audio = read_segment(self.audio, self.segment)
        except AudioFault as fault:
            detail = f"{self.audio}: {fault.detail}" if fault.detail else str(self.audio)
            raise Fault(fault.reason, detail) from None
        if len(audio) < MIN_SAMPLES:
            raise Fault("shorter than a frame", f"{self.audio}: {len(audio)} samples")
        return Utterance(
            self.id,
            audio,
            self.text,
            self.speaker,
            raw=self.raw,
            channel=self.channel,
            language=self.language,
            remarks=self.remarks,
        )


def write_utterances(
    writer: "CorpusWriter",
    splits: Mapping[str, Sequence[Readable]],
    preparation: Preparation,
    on_written: "Callable[[str, Utterance], None] | None" = None,
) -> None:
    """Reads every utterance and writes it to its split, sorted by split and id.

    An utterance that raises `Fault` is rejected. `on_written` is called with each of the others.
    """
    total, done = sum(map(len, splits.values())), 0
    for split, sources in sorted(splits.items()):
        in_order = sorted(sources, key=lambda source: source.id)
        for id, outcome in _read_ahead(in_order, preparation.jobs):
            if isinstance(outcome, Fault):
                writer.reject(id, split, outcome.reason, outcome.detail)
            elif writer.add(split, outcome) and on_written is not None:
                on_written(split, outcome)
            done += 1
            writer.share_written = done / total
            preparation.progress(done, total)


def _read_ahead(
    sources: Sequence[Readable], jobs: int
) -> "Iterator[tuple[str, Utterance | Fault]]":
    """Yields the id and the outcome of every source in order, reading a bounded number ahead."""
    with ThreadPoolExecutor(jobs) as pool:
        waiting: deque[tuple[str, Future[Utterance | Fault]]] = deque()
        try:
            for source in sources:
                waiting.append((source.id, pool.submit(_outcome, source)))
                if len(waiting) > AHEAD * jobs:
                    id, outcome = waiting.popleft()
                    yield id, outcome.result()
            while waiting:
                id, outcome = waiting.popleft()
                yield id, outcome.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _outcome(source: Readable) -> "Utterance | Fault":
    """Returns the utterance, or the fault that makes it unusable."""
    try:
        utterance = source.read()
    except Fault as fault:
        return fault
    # Computes the digest here, in the reading thread. The utterance keeps it for the writer.
    _ = utterance.digest
    return utterance
