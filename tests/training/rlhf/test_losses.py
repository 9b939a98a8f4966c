"""The losses against the same sums written out token by token."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.training.rlhf import losses


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def a_mask(seed: int, B: int, T: int) -> torch.Tensor:
    return (random(seed + 99, B, T) > -0.5).float()


@given(seed=st.integers(0, 200))
@settings(max_examples=25, deadline=None)
def test_supervised_is_the_mean_over_counted_tokens(seed: int) -> None:
    logits, mask = random(seed, 3, 5, 7), a_mask(seed, 3, 5)
    targets = torch.randint(7, (3, 5), generator=torch.Generator().manual_seed(seed))
    total = count = 0.0
    for b in range(3):
        for t in range(5):
            if mask[b, t]:
                row = logits[b, t].tolist()
                z = math.log(sum(math.exp(x) for x in row))
                total += z - row[int(targets[b, t])]
                count += 1
    expected = total / max(count, 1)
    assert losses.supervised(logits, targets, mask).item() == pytest.approx(expected, rel=1e-5)


def test_preference_is_bradley_terry() -> None:
    good, bad = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 1.0])
    expected = -sum(math.log(1 / (1 + math.exp(-(g - b)))) for g, b in ((1, 0.5), (-2, 1))) / 2
    assert losses.preference(good, bad).item() == pytest.approx(expected, rel=1e-6)
    assert losses.preference(good, good).item() == pytest.approx(math.log(2))


@given(seed=st.integers(0, 200), epsilon=st.sampled_from([0.1, 0.2, 0.5]))
@settings(max_examples=25, deadline=None)
def test_clipped_policy_token_by_token(seed: int, epsilon: float) -> None:
    new, old, gain = (random(seed + i, 3, 4) * 0.3 for i in range(3))
    mask = a_mask(seed, 3, 4)
    total = clipped = count = 0.0
    for b in range(3):
        for t in range(4):
            if mask[b, t]:
                ratio = math.exp(float(new[b, t] - old[b, t]))
                bounded = min(max(ratio, 1 - epsilon), 1 + epsilon)
                plain, other = ratio * float(gain[b, t]), bounded * float(gain[b, t])
                total -= min(plain, other)
                clipped += other < plain
                count += 1
    loss, share = losses.clipped_policy(new, old, gain, mask, epsilon)
    assert loss.item() == pytest.approx(total / max(count, 1), rel=1e-4, abs=1e-6)
    assert share.item() == pytest.approx(clipped / max(count, 1), abs=1e-6)


def test_no_gradient_beyond_the_clip() -> None:
    new = torch.tensor([[0.5, 0.5]], requires_grad=True)
    gain = torch.tensor([[1.0, -1.0]])
    loss, _ = losses.clipped_policy(new, torch.zeros(1, 2), gain, torch.ones(1, 2), 0.2)
    loss.backward()
    assert new.grad is not None
    assert new.grad[0, 0] == 0  # a good token that is likely enough already
    assert new.grad[0, 1] > 0  # a bad one that has become likelier is still pushed down


def test_at_the_old_policy_the_gradient_is_the_policy_gradient() -> None:
    logits = random(1, 1, 3, 5).requires_grad_()
    actions, gain, mask = torch.tensor([[0, 3, 2]]), random(2, 1, 3), torch.ones(1, 3)
    logp = losses.token_logprobs(logits, actions)
    loss, _ = losses.clipped_policy(logp, logp.detach(), gain, mask, 0.2)
    (got,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (expected,) = torch.autograd.grad(-(logp * gain).mean(), logits)
    torch.testing.assert_close(got, expected)


@given(seed=st.integers(0, 200))
@settings(max_examples=25, deadline=None)
def test_clipped_value_takes_the_worse_error(seed: int) -> None:
    value, old, target = (random(seed + i, 2, 4) for i in range(3))
    mask = a_mask(seed, 2, 4)
    total = count = 0.0
    for b in range(2):
        for t in range(4):
            if mask[b, t]:
                v, o, r = float(value[b, t]), float(old[b, t]), float(target[b, t])
                near = o + min(max(v - o, -0.3), 0.3)
                total += 0.5 * max((v - r) ** 2, (near - r) ** 2)
                count += 1
    got = losses.clipped_value(value, old, target, mask, 0.3).item()
    assert got == pytest.approx(total / max(count, 1), rel=1e-4)


def test_masked_mean_of_nothing_is_zero() -> None:
    assert losses.masked_mean(torch.ones(2, 2), torch.zeros(2, 2)) == 0
