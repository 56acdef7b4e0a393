"""A function in a process of its own: what it allocates, changes or breaks is gone with it."""

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


class Died(Exception):
    """The process ended without an answer: it was killed, mostly for its memory."""


def apart(function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """What `function` returns, or raises, with these arguments in a new process.

    Function, arguments and answer have to be such as can be pickled. Raises `Died`.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    task = pickle.dumps((function, arguments, options))
    process = context.Process(target=_answer, args=(sender, task))
    process.start()
    sender.close()  # so that this process sees the end when the other one's is gone
    try:
        answer, error = receiver.recv()
    except EOFError:
        process.join()
        raise Died(f"the process ended with status {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
        receiver.close()
    if error is not None:
        raise error
    return answer  # type: ignore[no-any-return]


def _answer(sender: Connection, task: bytes) -> None:
    # Ctrl-C reaches both; the one that waits ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reuse_memory()  # as the commands do; the task is what brings torch in
    try:
        function, arguments, options = pickle.loads(task)
        sender.send((function(*arguments, **options), None))
    except Exception as error:
        error.add_note(traceback.format_exc())
        sender.send((None, error))
