"""Run folders as training and evaluation leave them, small enough to count by hand."""

from pathlib import Path

from asrbench.base.files import write_jsonl
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec_file import load_study
from asrbench.scoring.score import score as score_of

RESULTS = Path("results")
REFERENCES = ["ONE TWO AB", "THREE FOUR", "FIVE SIX A", "SEVEN NINE"]
"""Four times ten characters: one edit is 2.5 points of CER."""


def begin(variant, seed, *, step_seconds=0.5, epochs=2, done=2, more=(), env=None, loads=None):
    """A run folder that was trained: two epochs of ten steps by default, on a quiet machine.

    `loads` are the shares of CPU time that others used, of each epoch.
    """
    model = variant if variant.startswith("ds2") else "ds2"
    Path("study.yaml").write_text(
        f"name: an4\ncorpus: data/an4\nseeds: [{seed}]\n"
        f"variants: {{{variant}: {{model: {{name: {model}}}}}}}\n"
    )
    sets = [f"train.epochs={epochs}", *more]
    (cell,) = load_study(Path("study.yaml"), sets).cells
    run = Run.of(RESULTS, cell, "f1" * 8)
    run.begin(cell, {"device_name": "x86_64", "threads": 2} | (env or {}))
    run.write_history(
        [
            {
                "epoch": epoch,
                "steps": 10 * epoch,
                "train_seconds": 10 * step_seconds,
                "dev_cer": 0.5 / epoch,
                "other_load": loads[epoch - 1] if loads else 0.01,
            }
            for epoch in range(1, done + 1)
        ]
    )
    return run


def wrong(edits):
    """Hypotheses with so many substitutions, one after the other in the first texts."""
    texts = []
    for reference in REFERENCES:
        here = min(edits, len(reference))
        texts.append("x" * here + reference[here:])
        edits -= here
    return texts


def score(
    run,
    hypotheses,
    *,
    split="test",
    decode="greedy",
    parameters=4_012_345,
    corpus="f1" * 8,
    more=None,
    sides=None,
):
    """What `asrbench eval` leaves; `sides` are the references of a corpus that has several, that
    of the profile first."""
    sides = sides or {"text": REFERENCES}
    (side, references), *others = sides.items()
    rows = [
        {"id": f"u{i}", "reference": reference, "hypothesis": hypothesis}
        | {name: texts[i] for name, texts in others}
        for i, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True))
    ]
    write_jsonl(run.hypotheses_path(split, decode), rows)
    figures = {
        "checkpoint": "best",
        **score_of(references, hypotheses, run.cell.score.profile, run).plain(),
        "side": side,
        "sides": [*sides],
        "parameters": parameters,
        "corpus": corpus,
    }
    run.write_scores(split, decode, figures | (more or {}))
    return run


def leave(variant, seed, edits, **options):
    return score(begin(variant, seed, **options), wrong(edits))
