"""A look at a dozen steps through torch's profiler."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.profiler import profile, schedule

from asrbench.base.files import atomic
from asrbench.base.reporting import Reporter

WARM_UP, STEPS = 5, 12
"""Steps left out, for they find kernels and fill caches, and steps recorded."""


@contextmanager
def profiled(path: Path | None, reporter: Reporter) -> Iterator[Callable[[], None]]:
    """Yields what is called after each step; leaves a trace of some steps at `path`.

    The trace opens in https://ui.perfetto.dev or chrome://tracing. Without a path nothing is
    recorded. Training that ends within the first steps leaves what there was, or nothing.
    """
    if path is None:
        yield lambda: None
        return

    def export(profiler: profile) -> None:
        with atomic(path) as temporary:
            # torch compresses what is called .gz, and nothing else.
            compressed = temporary.with_name(f"{temporary.name}.gz")
            profiler.export_chrome_trace(str(compressed))
            compressed.replace(temporary)
        reporter.say(f"wrote {path}: a profile of some steps; open it in https://ui.perfetto.dev")

    plan = schedule(wait=0, warmup=WARM_UP, active=STEPS, repeat=1)
    # There is one cycle only; to keep its events is no more, and spares a warning.
    with profile(
        schedule=plan, on_trace_ready=export, record_shapes=True, acc_events=True
    ) as profiler:
        yield profiler.step
