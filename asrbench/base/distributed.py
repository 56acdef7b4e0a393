"""Communication between the processes that train one run, one rank each, started by torchrun.

Small values (decisions, counts, rows) are exchanged on the CPU by gloo, so that no rank waits for
its GPU to agree on anything. Tensors on a GPU are exchanged there by NCCL. Every rank must make the
same calls in the same order. Only the first rank reads and writes run folders and broadcasts what
it reads, so only its machine needs the results folder. Every machine needs the corpus.

torch is imported only where there are several processes.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from asrbench.base.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Environment variables that torchrun sets for each process."""


@dataclass(frozen=True)
class Ranks:
    """The rank of this process among those that train one run.

    With a world size of 1 every method returns at once.
    """

    rank: int = 0
    world_size: int = 1
    """Number of processes that train the run."""
    local_rank: int = 0
    """Rank of this process among those on its machine."""
    local_world_size: int = 1
    """Number of processes on this machine."""

    @classmethod
    def of_environment(cls) -> "Ranks":
        """Joins the process group of torchrun and returns the rank of this process in it.

        Without torchrun returns `ALONE`. Raises `UserError` if only some of `VARIABLES` are set,
        and for a number that is none.
        """
        if _number("WORLD_SIZE", "1") == 1:
            return ALONE
        missing = [name for name in VARIABLES if name not in os.environ]
        if missing:
            raise UserError(
                f"environment: found WORLD_SIZE, but no {', '.join(missing)}; start several "
                f"processes with torchrun, or unset WORLD_SIZE"
            )
        import torch

        # Imported before the group exists, because defaults of its functions would keep it alive.
        import torch.distributed.nn.functional

        rank, world_size, local_rank, local_world_size = map(_number, VARIABLES[:4])
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        torch.distributed.init_process_group(backend)
        return cls(rank, world_size, local_rank, local_world_size)

    @property
    def is_main(self) -> bool:
        """Whether this is the first rank, which reads and writes run folders and reports."""
        return self.rank == 0

    def sum(self, x: "Tensor") -> "Tensor":
        """Returns the sum of `x` over ranks, equal bit for bit on each. Gradients flow through.

        The device of `x` chooses between gloo and NCCL.
        """
        if self.world_size == 1:
            return x
        import torch.distributed.nn.functional as differentiable

        return differentiable.all_reduce(x)  # type: ignore[no-any-return, no-untyped-call]

    def maximum(self, *votes: int) -> list[int]:
        """Returns the maximum over ranks of each vote, so that what one rank wants all ranks do."""
        if self.world_size == 1:
            return list(votes)
        import torch

        agreed = torch.tensor(votes, dtype=torch.int64)
        torch.distributed.all_reduce(agreed, torch.distributed.ReduceOp.MAX)
        return agreed.tolist()

    def gather(self, value: T) -> list[T]:
        """Returns the values of all ranks, in the order of ranks."""
        if self.world_size == 1:
            return [value]
        import torch.distributed as dist

        values: list[T | None] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def broadcast(self, value: T) -> T:
        """Returns the value of the first rank; values of other ranks are ignored."""
        if self.world_size == 1:
            return value
        import torch

        values = [value]
        torch.distributed.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    @contextmanager
    def errors_shared(self) -> Iterator[None]:
        """Raises the `UserError` of any rank in the block on all ranks, at the end of the block.

        Every rank has to get there. Of several errors, that of the lowest rank is raised.
        """
        error: UserError | None = None
        try:
            yield
        except UserError as caught:
            error = caught
        first = next(filter(None, self.gather(error)), None)
        if first is not None:
            raise first

    def close(self) -> None:
        """Leaves the process group.

        Must not be called after an error, when other ranks may be waiting for this one.
        """
        if self.world_size > 1:
            import torch.distributed as dist

            # Garbage of a trained model keeps the group alive, and with it threads of gloo. If one
            # of them frees a tensor while Python shuts down, the process aborts.
            gc.collect()
            dist.destroy_process_group()


def prints_errors() -> bool:
    """Returns whether this process prints the errors of all ranks on its machine.

    That is the first one, by what torchrun sets, and every process that torchrun did not start.
    """
    local = os.environ.get("LOCAL_RANK", "")
    started = all(name in os.environ for name in VARIABLES) and local.isdecimal()
    return not started or int(local) == 0


def _number(name: str, default: str = "") -> int:
    """Returns the whole number in an environment variable. Raises `UserError` for other text."""
    found = os.environ.get(name, default)
    if not (found.isascii() and found.isdecimal()):
        raise UserError(
            f"environment: found {name}={found}, allowed: a whole number, as torchrun sets it; "
            f"unset it"
        )
    return int(found)


ALONE = Ranks()
"""The only rank of a run that one process trains."""
