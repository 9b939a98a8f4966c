"""Which of a run's processes this one is, and what they tell each other.

A process that no launcher started is the only one; then nothing here communicates.

The ranks that headrace starts meet by a file. Where it names none, and there are several, they have
been started by another launcher, and meet as that one says (torch's `env://`).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor

from headrace.infra.errors import HeadraceError
from headrace.infra.net import peers
from headrace.infra.state.owner import account
from headrace.infra.subprocess_jobs import MEETING, loopback

_c10d: Any = torch.distributed  # its stores are public, but not in its types


@dataclass(frozen=True)
class Ranks:
    """Rank number `rank` (from 0) of `size`; where there are more, all must call alike."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Self:
        """As the launcher says in the environment (infra/subprocess_jobs.py, as torchrun does)."""
        return cls(int(os.environ.get("RANK") or 0), int(os.environ.get("WORLD_SIZE") or 1))

    def meet(self) -> None:
        """Make torch's group of these processes, unless this one is in a group already.

        No port is opened at which they would find each other. The sockets by which gloo exchanges
        tensors are on loopback.
        """
        if dist.is_initialized():
            return
        place, store = os.environ.get(MEETING), None
        if self.size == 1:
            os.environ.update(loopback())
            store = _c10d.HashStore()
        elif place:
            store = _c10d.FileStore(place, self.size)
        if store is None:
            dist.init_process_group("gloo")
        else:
            dist.init_process_group("gloo", store=store, rank=self.rank, world_size=self.size)

    def check_peers(self) -> None:
        """Raise unless only this account has connected to this process's sockets.

        To be called when all groups are made and before anything is trained.

        Raises:
            HeadraceError: another account took part in making them.
        """
        if self.size > 1 and (others := peers.strangers()):
            raise HeadraceError(
                "another account of this machine has connected to this training process: "
                + ", ".join(map(account, sorted(others))),
                "run it again to resume; if it happens again, train in one process "
                "(`--set pretrain.processes=1`)",
            )

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    def part(self, whole: Tensor) -> Tensor:
        """Return this rank's block of a tensor whose first dimension is a multiple of `size`."""
        return whole if self.size == 1 else whole.chunk(self.size)[self.rank].clone()

    def whole(self, part: Tensor) -> Tensor:
        """On the first rank the blocks of all ranks in their order, elsewhere `part` itself."""
        if self.size == 1:
            return part
        parts = [torch.empty_like(part) for _ in range(self.size)] if self.first else None
        dist.gather(part.contiguous(), parts)
        return torch.cat(parts) if parts else part

    def total(self, value: Tensor) -> Tensor:
        """`value` with the sum over all ranks in its place."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def mean(self, value: float) -> float:
        """Return the mean over all ranks."""
        if self.size == 1:
            return value
        return float(self.total(torch.tensor(value, dtype=torch.float64))) / self.size


ONE = Ranks()
"""The only process there is."""


def divided(parameter: Tensor) -> bool:
    """Whether each rank holds its own part, as DeepSpeed marks parameters of experts."""
    return not getattr(parameter, "allreduce", True)


def load_deepspeed() -> ModuleType:
    """Return DeepSpeed, imported for the CPU; nothing else imports it."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    # The shared-memory collectives would be compiled at first use: a minute, and a compiler.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    module: ModuleType = deepspeed
    return module
