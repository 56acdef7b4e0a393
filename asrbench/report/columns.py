"""The columns of all tables of a study.

A statistic is added here once: a column, and its name in the tables that show it. The terminal,
Markdown, LaTeX and the page take their heads and cells from these columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from asrbench.report.cells import (
    FAILED,
    TableCell,
    number_cell,
    p_cell,
    parameters_cell,
    percent_cell,
    percent_interval_cell,
    points_cell,
    points_interval_cell,
    rough_cell,
    text_cell,
    verdict_cell,
)
from asrbench.report.study import Study, StudyRun, StudySystem
from asrbench.stats.power import SampleSize
from asrbench.text.profiles import RATES


@dataclass(frozen=True)
class Column:
    """A column of a table with one row per system.

    `{rate}` stands for CER or WER and `{baseline}` for the baseline's label, in `head` and `means`.
    """

    head: str
    means: str
    """Explanation of the column, which the page shows as a tooltip."""
    cell: Callable[[StudySystem], TableCell]


SEEDS = "seeds"
"""Stands for the rates of all runs in the names of a table's columns."""

COLUMNS = {
    "variant": Column(
        "variant", "with the decoder unless that is greedy", lambda s: text_cell(s.label)
    ),
    "verdict": Column(
        "verdict",
        "against {baseline}, corrected for the number of variants",
        lambda s: verdict_cell(s.verdict),
    ),
    "rate": Column(
        "{rate} %", "mean over seeds", lambda s: percent_cell(s.rate, failed=not s.trained)
    ),
    "interval": Column(
        "95 %",
        "confidence interval of {rate} over utterances or speakers, and over training seeds",
        lambda s: percent_interval_cell(s.interval),
    ),
    "spread": Column(
        "sd",
        "sample standard deviation over seeds, in points",
        lambda s: percent_cell(s.spread),
    ),
    "difference": Column(
        "diff",
        "points of {rate}, minus {baseline}; below zero is fewer errors",
        lambda s: points_cell(s.difference.delta if s.difference else None),
    ),
    "difference_interval": Column(
        "95 %",
        "confidence interval of the difference",
        lambda s: points_interval_cell(s.difference.interval if s.difference else None),
    ),
    "holm_p": Column(
        "p Holm",
        "p-value corrected over the family of variants",
        lambda s: p_cell(s.judgement.holm_p if s.judgement else None),
    ),
    "parameters": Column(
        "params", "parameters of the model", lambda s: parameters_cell(s.cost.parameters)
    ),
    "step_ratio": Column(
        "step",
        "time of an optimizer step, relative to {baseline}",
        lambda s: number_cell(s.cost.step_ratio, ".2f", "x"),
    ),
    "improvement": Column(
        "P(better)",
        "share of bootstrap replicates with fewer errors than {baseline}",
        lambda s: number_cell(
            s.difference.improvement_probability if s.difference else None, ".3f"
        ),
    ),
    "p": Column(
        "p",
        "of the bootstrap, before correction",
        lambda s: p_cell(s.difference.p if s.difference else None),
    ),
    "permutation_p": Column(
        "p permutation",
        "hypotheses of the two systems swapped at random",
        lambda s: p_cell(s.tests.permutation.p if s.tests else None),
    ),
    "mcnemar_p": Column(
        "p McNemar",
        "utterances that are entirely right",
        lambda s: p_cell(s.tests.mcnemar.p if s.tests else None),
    ),
    "mapsswe_words_z": Column(
        "MAPSSWE words, z",
        "matched pairs of segments, errors summed over runs",
        lambda s: number_cell(s.tests.mapsswe_words.z if s.tests else None, "+.2f"),
    ),
    "mapsswe_words_p": Column(
        "p", "of MAPSSWE by word", lambda s: p_cell(s.tests.mapsswe_words.p if s.tests else None)
    ),
    "mapsswe_characters_z": Column(
        "characters, z",
        "the same by character",
        lambda s: number_cell(s.tests.mapsswe_characters.z if s.tests else None, "+.2f"),
    ),
    "mapsswe_characters_p": Column(
        "p",
        "of MAPSSWE by character",
        lambda s: p_cell(s.tests.mapsswe_characters.p if s.tests else None),
    ),
    "smallest_difference": Column(
        "detectable",
        "smallest true difference that such a study detects with 80 % power, in points, and the "
        "range of this figure; none where the range is too wide to be of use",
        lambda s: rough_cell(s.judgement.smallest_difference if s.judgement else None, 100),
    ),
    "needed_seeds": Column(
        "seeds needed",
        "to detect a difference of the size seen, and the range of this figure",
        lambda s: rough_cell(_needed(s).seeds),
    ),
    "needed_utterances": Column(
        "or utterances",
        "to detect a difference of the size seen, and the range of this figure",
        lambda s: rough_cell(_needed(s).utterances),
    ),
    "gflops": Column(
        "GFLOPs",
        "of a forward pass over a second of audio",
        lambda s: number_cell(s.cost.flops_per_audio_second, lambda flops: f"{flops / 1e9:.2f}"),
    ),
    "step_ms": Column(
        "step, ms",
        "time of an optimizer step",
        lambda s: number_cell(s.cost.step_seconds, lambda seconds: f"{1e3 * seconds:,.1f}"),
    ),
    "memory": Column(
        "memory, GB",
        "peak memory of the device in training",
        lambda s: number_cell(s.cost.memory_gb, ".2f"),
    ),
    "real_time_factor": Column(
        "RTF",
        "real-time factor: decoding time over duration",
        lambda s: number_cell(s.cost.real_time_factor, ".4f"),
    ),
    "decoding_memory": Column(
        "decoding, GB",
        "peak memory of decoding: of the device, or on a CPU of the whole process",
        lambda s: number_cell(s.cost.decoding_memory_gb, ".2f"),
    ),
}
"""The columns by name."""

RATES_TABLE = ("variant", "parameters", "rate", "interval", SEEDS, "step_ratio")
DIFFERENCES_TABLE = ("variant", "difference", "difference_interval", "holm_p", "verdict")
LATEX_TABLE = (
    *("variant", "parameters", "rate", "interval"),
    *("difference", "difference_interval", "holm_p", "verdict"),
)
RESULTS_TABLE = (
    *("variant", "rate", "interval", "difference", "difference_interval", "holm_p", "verdict"),
    *("spread", SEEDS, "parameters", "step_ratio", "real_time_factor"),
)
TESTS_TABLE = (
    *("variant", "improvement", "p", "permutation_p", "mcnemar_p", "mapsswe_words_z"),
    *("mapsswe_words_p", "mapsswe_characters_z", "mapsswe_characters_p"),
    *("smallest_difference", "needed_seeds", "needed_utterances"),
)
COSTS_TABLE = (
    *("variant", "parameters", "gflops", "step_ms", "step_ratio", "memory"),
    *("real_time_factor", "decoding_memory"),
)


def _needed(system: StudySystem) -> SampleSize:
    needed = system.judgement and system.judgement.needed
    return needed or SampleSize(seeds=None, utterances=None)


def columns_of(study: Study, names: Sequence[str], *, join_seeds: bool) -> list[Column]:
    """Returns the named columns with their heads filled in.

    The rates of all runs are one column if `join_seeds`, otherwise one column per seed.
    """
    found: list[Column] = []
    for name in names:
        if name != SEEDS:
            found.append(COLUMNS[name])
        elif join_seeds:
            head = f"seeds {' '.join(map(str, study.seeds))}"
            found.append(Column(head, "{rate} %", lambda s: _joined(study, s)))
        else:
            found += [_seed_column(seed) for seed in study.seeds]
    words = {"rate": RATES[study.unit], "baseline": study.baseline}
    return [
        replace(column, head=column.head.format(**words), means=column.means.format(**words))
        for column in found
    ]


def _seed_column(seed: int) -> Column:
    return Column(f"seed {seed}", "{rate} %", lambda system: _run_cell(system, seed))


def _run_cell(system: StudySystem, seed: int) -> TableCell:
    for run in system.runs:
        if run.seed == seed:
            return percent_cell(run.rate, failed=run.failure is not None)
    return percent_cell(None)


def _joined(study: Study, system: StudySystem) -> TableCell:
    return TableCell(" ".join(marked(_run_cell(system, seed)) for seed in study.seeds))


NOT_TRAINED_MARK = "!"
"""Stands behind the rate of a run that is not trained, in tables without colours."""


def marked(cell: TableCell) -> str:
    """Returns the text of a cell, marked if its run is not trained."""
    return cell.text + (NOT_TRAINED_MARK if cell.style == FAILED else "")


# Runs


@dataclass(frozen=True)
class RunColumn:
    """A column of a table with one row per run."""

    head: str
    means: str
    cell: Callable[[StudySystem, StudyRun], TableCell]


RUN_COLUMNS = {
    "run": RunColumn("run", "", lambda s, r: text_cell(r.run + s.label.removeprefix(s.variant))),
    "split": RunColumn("split", "", lambda s, r: text_cell(s.split)),
    "variant": RunColumn("variant", "", lambda s, r: text_cell(s.variant)),
    "decode": RunColumn("decode", "decoder", lambda s, r: text_cell(s.decode)),
    "profile": RunColumn("profile", "scoring profile", lambda s, r: text_cell(s.profile)),
    "seed": RunColumn("seed", "", lambda s, r: number_cell(r.seed, "d")),
    "cer": RunColumn("CER %", "by character", lambda s, r: percent_cell(r.cer)),
    "wer": RunColumn("WER %", "by word", lambda s, r: percent_cell(r.wer)),
    "swer": RunColumn(
        "sWER %", "by word, with the spacing of the reference", lambda s, r: percent_cell(r.swer)
    ),
    "jer": RunColumn("JER %", "by jamo", lambda s, r: percent_cell(r.jer)),
    "substitutions": RunColumn(
        "substituted", "in the unit compared", lambda s, r: number_cell(r.substitutions, ",d")
    ),
    "deletions": RunColumn(
        "deleted", "in the unit compared", lambda s, r: number_cell(r.deletions, ",d")
    ),
    "insertions": RunColumn(
        "inserted", "in the unit compared", lambda s, r: number_cell(r.insertions, ",d")
    ),
    "n": RunColumn("N", "reference symbols", lambda s, r: number_cell(r.n, ",d")),
    "parameters": RunColumn("params", "", lambda s, r: parameters_cell(s.cost.parameters)),
    "step_seconds": RunColumn(
        "step, s", "time of an optimizer step", lambda s, r: number_cell(r.step_seconds, ".3f")
    ),
    "failure": RunColumn(
        "failure",
        "why it is not trained",
        lambda s, r: text_cell(r.failure, FAILED if r.failure else ""),
    ),
}
"""The columns of a run by name; `table.csv` writes their values."""

RUNS_TABLE = (
    *("run", "seed", "cer", "wer", "swer", "jer"),
    *("substitutions", "deletions", "insertions", "failure"),
)
CSV_TABLE = (
    *("split", "variant", "decode", "seed", "profile", "cer", "jer", "wer", "swer"),
    *("substitutions", "deletions", "insertions", "n", "parameters", "step_seconds"),
)
