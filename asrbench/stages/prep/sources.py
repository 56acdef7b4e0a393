"""Utterances whose audio is still in files, and the loop that reads them into a corpus."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from asrbench.base.errors import Fault
from asrbench.data.audio import WHOLE, AudioFault, Segment, read_segment
from asrbench.data.corpus import CorpusWriter, Utterance
from asrbench.stages.prep import How

AHEAD = 4
"""Utterances read and not yet written, for each job: all the memory that a corpus needs."""


MIN_SAMPLES = 400
"""One analysis window of 25 ms, without which there is nothing to recognise."""


class Readable(Protocol):
    """An utterance that still lies in files."""

    @property
    def id(self) -> str: ...
    def read(self) -> Utterance:
        """Reads it, in any thread. Raises `Fault` if it is none."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """An utterance whose audio is still in its file. `raw` is its text as distributed."""

    id: str
    audio: Path
    text: str
    speaker: str | None = None
    raw: str | None = None
    channel: str | None = None
    """As it is marked; which one is read, `segment` says."""
    language: str | None = None
    segment: Segment = WHOLE
    remarks: tuple[str, ...] = ()

    def read(self) -> Utterance:
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
    writer: CorpusWriter,
    splits: Mapping[str, Sequence[Readable]],
    how: How,
    written: Callable[[str, Utterance], None] | None = None,
) -> None:
    """Reads every utterance into its split, sorted by split and id.

    Those with a `Fault` are rejected for its reason; of the others `written` is told.
    """
    total, done = sum(map(len, splits.values())), 0
    for split, sources in sorted(splits.items()):
        for id, outcome in _read_ahead(sorted(sources, key=lambda source: source.id), how.jobs):
            if isinstance(outcome, Fault):
                writer.reject(id, split, outcome.reason, outcome.detail)
            elif writer.add(split, outcome) and written is not None:
                written(split, outcome)
            done += 1
            writer.share_written = done / total
            how.tick(done, total)


def _read_ahead(sources: Sequence[Readable], jobs: int) -> Iterator[tuple[str, Utterance | Fault]]:
    """What becomes of every source, in their order, a bounded number of them read ahead."""
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


def _outcome(source: Readable) -> Utterance | Fault:
    try:
        utterance = source.read()
    except Fault as fault:
        return fault
    _ = utterance.digest  # kept with it: the thread that writes has enough to do
    return utterance
