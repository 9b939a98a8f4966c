import torch

from headrace.training.moe.attention import Cache
from headrace.training.moe.config import MoEConfig
from headrace.training.moe.model import MoEForCausalLM, count_parameters, next_token_loss

CONFIG = MoEConfig(
    vocab_size=50,
    hidden_size=32,
    num_hidden_layers=3,
    head_dim=16,
    n_routed_experts=4,
    num_experts_per_tok=2,
    moe_intermediate_size=16,
    initializer_range=0.2,
)


def model() -> MoEForCausalLM:
    torch.manual_seed(0)
    return MoEForCausalLM(CONFIG).eval()


@torch.no_grad()
def test_a_later_token_changes_nothing_before_it() -> None:
    m, ids = model(), torch.randint(0, 50, (2, 12))
    other = ids.clone()
    other[:, 8:] = (other[:, 8:] + 1) % 50
    torch.testing.assert_close(m(ids)[:, :8], m(other)[:, :8])
    assert not torch.allclose(m(ids)[:, 8:], m(other)[:, 8:])


@torch.no_grad()
def test_the_cache_gives_the_same_logits_in_pieces() -> None:
    m, ids = model(), torch.randint(0, 50, (2, 12))
    cache = Cache(CONFIG, 2, 12, torch.float32)
    pieces = [m(ids[:, a:b], cache) for a, b in ((0, 5), (5, 6), (6, 10), (10, 12))]
    torch.testing.assert_close(torch.cat(pieces, 1), m(ids), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_masked_document_reads_as_if_alone() -> None:
    m, ids = model(), torch.randint(0, 50, (1, 12))
    number = torch.tensor([0] * 5 + [1] * 7)
    mask = (number[:, None] == number[None]).tril()[None, None]
    torch.testing.assert_close(m(ids, mask=mask)[:, 5:], m(ids[:, 5:]), atol=1e-5, rtol=1e-4)


def test_loss_is_the_mean_over_all_but_the_first_token() -> None:
    logits, ids = torch.randn(2, 6, 9), torch.randint(0, 9, (2, 6))
    said = logits.log_softmax(-1)
    want = [-said[b, t, ids[b, t + 1]] for b in range(2) for t in range(5)]
    torch.testing.assert_close(next_token_loss(logits, ids), torch.stack(want).mean())


def test_the_count_is_that_of_the_built_model() -> None:
    total, active = count_parameters(CONFIG)
    assert total == sum(p.numel() for p in MoEForCausalLM(CONFIG).parameters())
    everything = CONFIG.model_copy(update={"num_experts_per_tok": CONFIG.n_routed_experts})
    assert active < count_parameters(everything)[1] == total
