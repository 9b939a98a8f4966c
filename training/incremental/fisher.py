"""The diagonal of the Fisher information: how much each weight matters for text of a kind.

The true Fisher, with labels sampled from the model's own predictions (not the empirical one with
the text's labels, which is something else where the model is wrong: Kunstner et al. 2019,
arXiv:1905.12558). F_i is the mean over tokens x of E over y ~ p(.|x) of (d log p(y|x) / d w_i)^2.

One backward pass serves a whole batch: given the text, the sampled labels are independent and
each score has mean zero, so the expected square of the summed gradient is the sum of the expected
squares; cross terms vanish. Each batch is thus an unbiased estimate with one degree of freedom a
weight, and more, smaller batches make it less noisy at the same number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from headrace.infra import console


def diagonal(
    model: nn.Module,
    batches: Sequence[Tensor],
    seed: int,
    logits: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return the Fisher diagonal by parameter name, in squared nats per token and unit of weight.

    Args:
        model: maps ids (B, T) to logits (B, T, V); its gradients are None afterwards.
        batches: ids (B, T) of old text; every position is predicted, and one label drawn each.
        seed: seed of the labels.
        logits: calls the model; None: with the ids alone.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
    total = {n: torch.zeros_like(p) for n, p in weights.items()}
    predict = logits or model
    tokens = 0
    was_training = model.training
    model.eval()
    with console.Progress("Fisher information", len(batches), "batches") as progress:
        for ids_BT in batches:
            log_p = predict(ids_BT).flatten(0, 1).float().log_softmax(-1)
            drawn = torch.multinomial(log_p.detach().exp(), 1, generator=generator)
            grads = torch.autograd.grad(
                log_p.gather(1, drawn).sum(), list(weights.values()), allow_unused=True
            )
            for name, grad in zip(weights, grads, strict=True):
                if grad is not None:
                    total[name].addcmul_(grad, grad)
            tokens += ids_BT.numel()
            progress.advance()
    model.train(was_training)
    return {n: t / max(tokens, 1) for n, t in total.items()}
