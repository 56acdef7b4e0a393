"""Training the runs of a study one after another: what one of them meets is not the others'."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from asrbench.groundwork import Prepared
from asrbench.reporting import Reporter
from asrbench.runs import Run
from asrbench.stopping import Deadline, Failed, Interrupted, TimeUp
from asrbench.train import train


@dataclass
class Outcome:
    """What became of the runs that are not done."""

    failed: list[Run] = field(default_factory=list)
    left: list[Run] = field(default_factory=list)
    """Those there was no time for."""
    interrupted: bool = False


def train_runs(
    prepared: Sequence[Prepared],
    reporter: Reporter,
    *,
    started_at: float,
    max_hours: float | None = None,
    profile: bool = False,
) -> Outcome:
    """Trains each run that is not done, until the time is up or a signal comes.

    The time is `max_hours` for all of them together, and `train.max_hours` of each, both counted
    from `started_at`, the `time.monotonic()` at which the command began.
    """
    outcome = Outcome()
    spent_hours = 0.0
    begun = False
    for each in prepared:
        run = each.run
        if run.done:
            reporter.say(f"{run}: done{_without_weights(run)}")
            continue
        limits = (max_hours, each.cell.train.max_hours)
        hours = min((limit for limit in limits if limit is not None), default=math.inf)
        deadline = Deadline.after(hours, started_at)
        # The first is begun in any case, so that every start of the command gets somewhere.
        if begun and (hours <= spent_hours or not deadline.leaves(0)):
            outcome.left.append(run)
            continue
        begun = True
        try:
            train(each, reporter, deadline, profile=profile)
        except Interrupted as stop:
            reporter.say(str(stop))
            outcome.interrupted = True
            break
        except TimeUp as stop:
            reporter.say(str(stop))
            outcome.left.append(run)
            spent_hours = max(spent_hours, hours)
        except Failed as error:
            reporter.say(str(error))
            outcome.failed.append(run)
    return outcome


def _without_weights(run: Run) -> str:
    """Run folders in a repository keep what can be checked, and leave the weights out."""
    if run.weights_path("best").is_file():
        return ""
    return f", but its weights are not here; give another --results, or delete {run}"
