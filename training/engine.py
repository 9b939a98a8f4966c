"""Training steps through DeepSpeed.

How a stage uses it:

    prepare(seed)                                     # threads, determinism, random numbers
    optimizer = build_optimizer(model, settings)      # headrace.training.optimizer
    with Engine(model, optimizer, clip=1.0) as engine:
        loss = …                                      # forward through `model` itself
        norm = engine.step(loss)                      # backward, clip, update, gradients to zero

`Engine.step` is `backward` (may be called several times: gradients add up) and `update`. One
process is one rank; without a launcher it is a group of one. Of several ranks each gives the mean
loss of the rows it has, as many as any other, by one `backward` per step. Weights stay in float32:
at the sizes that a CPU trains, bf16 is no faster (docs/model.md).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from headrace.infra.errors import HeadraceError
from headrace.training.distributed import ONE, Ranks, divided, load_deepspeed
from headrace.training.optimizer import MuonAdamW

MAX_THREADS = 8
"""More threads than this slow a model down whose matrices are a few hundred wide."""


class DivergedError(HeadraceError):
    """The loss or the gradients are no numbers any more; nothing was updated."""


def prepare(seed: int) -> None:
    """Seed all generators, ask for deterministic kernels, and use the cores there are.

    Same seed and number of threads: the same bits. OMP_NUM_THREADS, where set, is the number.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(asked) if asked.isdigit() and int(asked) else min(MAX_THREADS, cores or 1)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory finds programs that read it before they write; it costs a twentieth.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 (untyped)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def _a_local_rank() -> Iterator[None]:
    """Set what DeepSpeed wants to find in the environment, while it looks at it.

    Left behind, a child process would take itself for one that a launcher has started.
    """
    if "LOCAL_RANK" in os.environ:
        yield
        return
    os.environ["LOCAL_RANK"] = "0"
    try:
        yield
    finally:
        del os.environ["LOCAL_RANK"]


class Engine(AbstractContextManager["Engine"]):
    """A DeepSpeed engine around a model and its optimizer, both in float32.

    Args:
        model: any module; call it as usual, the engine needs no forward of its own.
        optimizer: from `build_optimizer`. Muon works on whole matrices, hence ZeRO stage 0.
        clip: largest global norm of the gradients; 0 does not clip.
        ranks: the processes that train together, each on its own rows.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: MuonAdamW,
        clip: float = 1.0,
        ranks: Ranks = ONE,
    ) -> None:
        self.model, self.optimizer, self.clip, self.ranks = model, optimizer, clip, ranks
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        config = {
            "train_micro_batch_size_per_gpu": 1,
            "zero_optimization": {"stage": 0},
            "gradient_clipping": 0.0,  # the default is 1.0; `update` clips
            "steps_per_print": None,
        }
        ranks.meet()  # or DeepSpeed does, by a port
        with _a_local_rank():
            self._engine, *_ = load_deepspeed().initialize(
                model=model, optimizer=optimizer, config=config
            )
        ranks.check_peers()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a scalar loss.

        Raises:
            DivergedError: the loss is not finite.
        """
        if not torch.isfinite(loss.detach()):
            raise DivergedError(
                f"the loss is {loss.item()}: training diverged",
                "lower the learning rates (muon_lr, adamw_lr); the last checkpoint is still good",
            )
        self._engine.backward(loss)

    def update(self) -> float:
        """Clip, update and set gradients to zero; return their norm before clipping.

        Raises:
            DivergedError: a gradient is not finite; the parameters are untouched.
        """
        grads = [p.grad for p in self._parameters if p.grad is not None]
        norm = self._norm(grads)
        if not np.isfinite(norm):
            raise DivergedError(
                f"the gradients' norm is {norm}: training diverged",
                "lower the learning rates (muon_lr, adamw_lr); the last checkpoint is still good",
            )
        if self.clip and norm > self.clip:
            torch._foreach_mul_(grads, self.clip / (norm + 1e-6))
        self._engine.step()
        return norm

    def _norm(self, grads: list[Tensor]) -> float:
        """Norm of all gradients, those of the other ranks' experts included."""
        if self.ranks.size == 1:
            return float(nn.utils.get_total_norm(grads))
        own = [p.grad for p in self._parameters if p.grad is not None and divided(p)]
        same = [p.grad for p in self._parameters if p.grad is not None and not divided(p)]
        squares = self.ranks.total(nn.utils.get_total_norm(own).double() ** 2)
        return float((nn.utils.get_total_norm(same).double() ** 2 + squares).sqrt())

    def step(self, loss: Tensor) -> float:
        """`backward`, then `update`; returns the norm of the gradients before clipping."""
        self.backward(loss)
        return self.update()

    @property
    def rate(self) -> float:
        """Learning rate of the optimizer's first group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def close(self) -> None:
        """Let go of what DeepSpeed holds; the model stays usable."""
        self._engine.destroy()

    def __exit__(self, *_: object) -> None:
        """Close, whatever ended the block."""
        self.close()
