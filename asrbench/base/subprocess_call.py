"""Calls a function in a new process, so that its memory and its crashes stay there."""

import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import ParamSpec, TypeVar

from asrbench.base.memory import reuse_memory

P = ParamSpec("P")
T = TypeVar("T")


class SubprocessDied(Exception):
    """The process ended without a result. Usually the kernel killed it for lack of memory."""


def call_in_subprocess(function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Returns what `function` returns for these arguments in a new process.

    The function, its arguments and its result are pickled. Raises what `function` raises, and
    `SubprocessDied` if the process ends without a result.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    task = pickle.dumps((function, arguments, options))
    process = context.Process(target=_run_task, args=(sender, task))
    process.start()
    sender.close()  # otherwise recv() would not see that the other process is gone
    try:
        result, error = receiver.recv()
    except EOFError:
        process.join()
        raise SubprocessDied(f"the process ended with status {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
        receiver.close()
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def _run_task(sender: Connection, task: bytes) -> None:
    # Ctrl-C reaches both processes. The waiting one then kills this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reuse_memory()  # before the task, which imports torch
    try:
        function, arguments, options = pickle.loads(task)
        sender.send((function(*arguments, **options), None))
    except Exception as error:
        error.add_note(traceback.format_exc())
        sender.send((None, error))
