"""The processes that train one run together, one rank each, as torchrun starts them.

What is small (decisions, counts, rows) meets on the CPU, by gloo, so that no rank waits for its
GPU to agree on anything; what lies on a GPU meets there, by NCCL. Every rank has to call the same
things in the same order. Files are the first rank's alone: the others learn from it what it reads,
so only its machine needs the results folder; the corpus has to be on every machine.

torch is imported where there are several processes, and only then.
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
"""What torchrun tells each process."""


@dataclass(frozen=True)
class Ranks:
    """One process' place among those that share a run; by itself, what follows costs nothing."""

    rank: int = 0
    world_size: int = 1
    """Number of processes."""
    local_rank: int = 0
    local_world_size: int = 1
    """Place and number of processes on this machine."""

    @classmethod
    def of_environment(cls) -> "Ranks":
        """Joins those that torchrun started along with this process, and waits for them.

        Raises `UserError` where only a part of what torchrun says is there.
        """
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            return ALONE
        missing = [name for name in VARIABLES if name not in os.environ]
        if missing:
            raise UserError(
                f"environment: found WORLD_SIZE, but no {', '.join(missing)}; start several "
                f"processes with torchrun, or unset WORLD_SIZE"
            )
        import torch

        # Before there is a group: its functions' defaults would hold it to the end.
        import torch.distributed.nn.functional

        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        torch.distributed.init_process_group(backend)
        rank, world_size, local_rank, local_world_size = (
            int(os.environ[name]) for name in VARIABLES[:4]
        )
        return cls(rank, world_size, local_rank, local_world_size)

    @property
    def is_main(self) -> bool:
        """Whether this is the first rank, which alone reads and writes runs, and speaks."""
        return self.rank == 0

    def sum(self, x: "Tensor") -> "Tensor":
        """x, summed over ranks where it lies: the same bits on each. Has a gradient."""
        if self.world_size == 1:
            return x
        import torch.distributed.nn.functional as differentiable

        return differentiable.all_reduce(x)  # type: ignore[no-any-return, no-untyped-call]

    def maximum(self, *votes: int) -> list[int]:
        """The greatest of each vote: what any rank wants, all do."""
        if self.world_size == 1:
            return list(votes)
        import torch

        agreed = torch.tensor(votes, dtype=torch.int64)
        torch.distributed.all_reduce(agreed, torch.distributed.ReduceOp.MAX)
        return agreed.tolist()

    def gather(self, value: T) -> list[T]:
        """The value of each rank, in their order."""
        if self.world_size == 1:
            return [value]
        import torch.distributed as dist

        values: list[T | None] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def broadcast(self, value: T) -> T:
        """The first rank's value, whatever the others have."""
        if self.world_size == 1:
            return value
        import torch

        values = [value]
        torch.distributed.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    @contextmanager
    def errors_shared(self) -> Iterator[None]:
        """What is a `UserError` on any rank within is one on all of them, when all have come."""
        error: UserError | None = None
        try:
            yield
        except UserError as caught:
            error = caught
        met = next(filter(None, self.gather(error)), None)
        if met is not None:
            raise met

    def close(self) -> None:
        """Leaves the others; not after an error, when they may be waiting for this one."""
        if self.world_size > 1:
            import torch.distributed as dist

            # What is left of a trained model holds the group. As long as that lives so do threads
            # of gloo's, and if one of them drops a tensor while Python ends, it aborts.
            gc.collect()
            dist.destroy_process_group()


ALONE = Ranks()
"""A single process."""
