import torch

from headrace.training.moe.config import MoEConfig
from headrace.training.moe.router import Router


def router() -> Router:
    torch.manual_seed(0)
    made = Router(MoEConfig(hidden_size=8, n_routed_experts=6, num_experts_per_tok=2))
    torch.nn.init.normal_(made.weight)
    return made


def test_bias_chooses_but_does_not_weigh() -> None:
    r = router().eval()
    x = torch.randn(10, 8)
    r.e_score_correction_bias[3] = 100.0
    chosen, weights = r(x)
    assert (chosen == 3).any(dim=1).all()
    scores = (x @ r.weight.T).sigmoid().gather(1, chosen)
    torch.testing.assert_close(weights, scores / scores.sum(1, keepdim=True))


def test_balance_raises_the_bias_of_idle_experts_and_lowers_that_of_busy_ones() -> None:
    r = router().train()
    r.weight.data[0] = 0  # sigmoid 0.5 for all
    r(torch.randn(200, 8))
    load = r.balance(0.01)
    assert load.sum() == 400
    mean = load.double().mean()
    assert torch.equal(r.e_score_correction_bias > 0, load < mean)
    assert torch.equal(r.e_score_correction_bias < 0, load > mean)
    assert r.balance(0.01).sum() == 0


def test_balancing_evens_the_load_of_a_skewed_router() -> None:
    r = router().train()
    r.weight.data[1] += 2.0
    x = torch.randn(500, 8) + 0.5
    r(x)
    first = r.balance(0.02).double()
    for _ in range(200):
        r(x)
        last = r.balance(0.02).double()
    assert last.max() / last.mean() < 1.3 < first.max() / first.mean()


def test_evaluation_leaves_no_trace() -> None:
    r = router().eval()
    r(torch.randn(5, 8))
    assert r.load.sum() == 0
