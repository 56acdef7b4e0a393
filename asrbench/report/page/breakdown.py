"""The tables of the page that show where systems differ."""

from collections.abc import Iterator, Set

from asrbench.analysis.kinds import ErrorKinds
from asrbench.analysis.lengths import ByLength
from asrbench.analysis.seen_texts import SeenTexts, TextGroup
from asrbench.base.formatting import points
from asrbench.report.answer import is_judged
from asrbench.report.cells import (
    TableCell,
    number_cell,
    p_cell,
    percent_cell,
    percent_interval_cell,
    points_cell,
    points_interval_cell,
    text_cell,
)
from asrbench.report.page.views import DASH, ColumnHead, Table
from asrbench.report.study import Study


def tables(study: Study) -> list[Table]:
    """Returns error rates by length, by seen text, by kind and by speaker."""
    if study.findings is None:
        return []
    lengths, seen_texts = study.findings.lengths, study.findings.seen_texts
    judged = {system.label for system in study.systems if is_judged(system)}
    found = [
        *([_lengths("duration", lengths.duration, judged)] if lengths.duration else []),
        _lengths("reference length", lengths.reference_length, judged),
        *([_seen_texts(seen_texts, study.baseline)] if seen_texts else []),
        _kinds(study.findings.kinds),
        _speakers(study),
    ]
    return [table for table in found if table.rows]


def _lengths(name: str, found: ByLength, judged: Set[str]) -> Table:
    heads = (
        ColumnHead("variant"),
        *(
            ColumnHead(
                f"{each.low:.3g}{DASH}{each.high:.3g}", f"{each.utterances:,} utterances, CER %"
            )
            for each in found.bins
        ),
        ColumnHead(f"per {found.unit}", "how the difference to the baseline changes, in points"),
        ColumnHead("p Holm", "p-value of that change, corrected for all variants"),
        ColumnHead("in words"),
    )

    def row(label: str) -> Iterator[TableCell]:
        change = found.interactions.get(label) if label in judged else None
        yield text_cell(label)
        for each in found.bins:
            yield percent_cell(each.systems[label].cer)
        yield number_cell(change.slope if change else None, lambda slope: points(slope, digits=3))
        yield p_cell(change.holm_p if change else None)
        yield text_cell(change.words if change else None, "words")

    return Table(
        f"by-{name.replace(' ', '-')}",
        f"By {name}",
        f"CER in percent, in bins of {name} ({found.unit}s). The last columns test what is judged.",
        heads,
        tuple(tuple(row(label)) for label in (found.bins[0].systems if found.bins else ())),
    )


def _seen_texts(found: SeenTexts, baseline: str) -> Table:
    groups = {"seen": found.seen, "unseen": found.unseen}
    heads = [ColumnHead("variant")]
    for name, group in groups.items():
        of = f"{group.utterances:,} utterances, N = {group.n:,} characters"
        heads += [
            ColumnHead(f"{name} %", f"CER, mean over seeds; {of}"),
            ColumnHead("95 %", f"confidence interval of the CER on {name} texts"),
            ColumnHead("diff", f"points of CER on {name} texts, minus {baseline}"),
            ColumnHead("95 %", "confidence interval of the difference"),
        ]

    def cells(group: TextGroup, label: str) -> Iterator[TableCell]:
        rate, difference = group.systems[label], group.differences.get(label)
        yield percent_cell(rate.cer)
        yield percent_interval_cell(rate.interval)
        yield points_cell(difference.delta if difference else None)
        yield points_interval_cell(difference.interval if difference else None)

    return Table(
        "seen-texts",
        "By seen text",
        f"CER in percent on the {found.seen.utterances:,} utterances whose texts also occur in "
        f"train (seen, N = {found.seen.n:,} characters), and on the other "
        f"{found.unseen.utterances:,} (unseen, N = {found.unseen.n:,}). The intervals are not "
        f"corrected for their number.",
        tuple(heads),
        tuple(
            (text_cell(label), *(cell for group in groups.values() for cell in cells(group, label)))
            for label in found.seen.systems
        ),
    )


def _kinds(found: dict[str, ErrorKinds]) -> Table:
    heads = (
        ColumnHead("variant"),
        ColumnHead("substituted", "percent of reference characters"),
        ColumnHead("deleted", "percent of reference characters"),
        ColumnHead("inserted", "percent of reference characters"),
        ColumnHead("at word edges", "percent of first and last characters of words that are wrong"),
        ColumnHead("within words", "percent of the other characters of words that are wrong"),
        ColumnHead("spaces", "percent of spaces that are wrong"),
        ColumnHead("empty", "hypotheses without a character, of all runs"),
        ColumnHead("looped", "hypotheses that repeat themselves where the reference does not"),
        ColumnHead("truncated", "hypotheses whose end is missing"),
    )
    return Table(
        "kinds",
        "By kind",
        "In percent, over all seeds of a variant; the last three columns count hypotheses.",
        heads,
        tuple(tuple(_kinds_row(label, kinds)) for label, kinds in found.items()),
    )


def _kinds_row(label: str, kinds: ErrorKinds) -> Iterator[TableCell]:
    edges, spaces, hypotheses = kinds.edges, kinds.spaces, kinds.hypotheses
    yield text_cell(label)
    for count in (kinds.substitutions, kinds.deletions, kinds.insertions):
        yield percent_cell(count / kinds.n if kinds.n else None)
    yield percent_cell(edges.edge_rate if edges else None)
    yield percent_cell(edges.inner_rate if edges else None)
    yield percent_cell(spaces.errors / spaces.n if spaces and spaces.n else None)
    for count in (hypotheses.empty, hypotheses.looped, hypotheses.truncated):
        yield number_cell(count, ",d")


def _speakers(study: Study) -> Table:
    labels = [system.label for system in study.systems]
    speakers = (study.findings and study.findings.speakers) or ()
    heads = (
        *(ColumnHead("speaker"), ColumnHead("utterances"), ColumnHead("N (characters)")),
        *(ColumnHead(label, "CER %, mean over seeds") for label in labels),
    )
    rows = tuple(
        (
            text_cell(each.speaker or "not known"),
            number_cell(each.utterances, ",d"),
            number_cell(each.n, ",d"),
            *(percent_cell(each.cer.get(label)) for label in labels),
        )
        for each in speakers
    )
    return Table("speakers", "By speaker", "CER in percent.", heads, rows)
