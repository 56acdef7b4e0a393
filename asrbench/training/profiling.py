"""A profile of a dozen training steps, made with torch's profiler."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.profiler import profile, schedule

from asrbench.base.files import atomic
from asrbench.base.reporting import Reporter

WARM_UP, STEPS = 5, 12
"""The number of steps that are skipped, because they are slower, and of those recorded."""


@contextmanager
def profiled(path: Path | None, reporter: Reporter) -> Iterator[Callable[[], None]]:
    """Yields a function to call after each step, and writes a trace of `STEPS` steps to `path`.

    The trace opens in https://ui.perfetto.dev or chrome://tracing. Without a path nothing is
    recorded. If training ends before the last of these steps, the trace is shorter or missing.
    """
    if path is None:
        yield lambda: None
        return

    def export(profiler: profile) -> None:
        with atomic(path) as temporary:
            # torch compresses a trace only if its file name ends in .gz.
            compressed = temporary.with_name(f"{temporary.name}.gz")
            profiler.export_chrome_trace(str(compressed))
            compressed.replace(temporary)
        reporter.say(
            f"wrote {path}: a profile of {STEPS} steps; open it in https://ui.perfetto.dev"
        )

    plan = schedule(wait=0, warmup=WARM_UP, active=STEPS, repeat=1)
    # `acc_events` changes nothing for a single cycle, but avoids a warning.
    with profile(
        schedule=plan, on_trace_ready=export, record_shapes=True, acc_events=True
    ) as profiler:
        yield profiler.step
