from pathlib import Path

import pytest
import torch

from headrace.infra.errors import UsageError
from headrace.training.generate import rollout, sample
from headrace.training.moe import export
from headrace.training.moe.config import MoEConfig
from headrace.training.moe.model import MoEForCausalLM

PAD, STOP = 4, 0
PROMPTS = [[7, 8, 9], [10], [11, 12, 13, 14, 15, 16], [17, 18]]


@pytest.fixture(scope="module")
def model() -> MoEForCausalLM:
    torch.manual_seed(0)
    config = MoEConfig(
        vocab_size=320,
        hidden_size=32,
        num_hidden_layers=2,
        head_dim=16,
        n_routed_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        max_position_embeddings=32,
        initializer_range=0.3,
    )
    return MoEForCausalLM(config).eval()


def greedy(model: MoEForCausalLM, prompt: list[int], count: int) -> list[int]:
    """The likeliest tokens, without cache, padding or batch."""
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
            if ids[-1] == STOP:
                break
    return ids


def test_a_batch_of_unequal_prompts_equals_each_alone(model: MoEForCausalLM) -> None:
    made = rollout(model, PROMPTS, max_new_tokens=8, pad=PAD, stop=[STOP], temperature=0)
    for row, prompt in enumerate(PROMPTS):
        want = greedy(model, prompt, 8)
        assert made.ids[row, : len(want)].tolist() == want
        assert (made.ids[row, len(want) :] == PAD).all()
        at = torch.arange(made.ids.shape[1])
        assert torch.equal(made.mask[row], (at >= len(prompt)) & (at < len(want)))


def test_logprobs_are_those_of_a_plain_forward_pass(model: MoEForCausalLM) -> None:
    made = rollout(model, PROMPTS, max_new_tokens=10, pad=PAD, stop=[STOP], temperature=0.7, seed=5)
    with torch.no_grad():
        said = (model(made.ids)[:, :-1] / 0.7).log_softmax(-1)
    want = said.gather(2, made.ids[:, 1:, None]).squeeze(2)
    got, mask = made.logprobs[:, 1:], made.mask[:, 1:]
    torch.testing.assert_close(got[mask], want[mask], atol=1e-4, rtol=1e-4)
    assert (made.logprobs[~made.mask] == 0).all()


def test_the_seed_decides(model: MoEForCausalLM) -> None:
    def ids(seed: int) -> torch.Tensor:
        return rollout(model, PROMPTS, max_new_tokens=8, pad=PAD, seed=seed).ids

    assert torch.equal(ids(1), ids(1))
    assert not torch.equal(ids(1), ids(2))


def test_top_p_leaves_the_likeliest_alone_where_it_is_tiny(model: MoEForCausalLM) -> None:
    cut = rollout(model, PROMPTS, max_new_tokens=5, pad=PAD, top_p=1e-6, seed=3)
    best = rollout(model, PROMPTS, max_new_tokens=5, pad=PAD, temperature=0)
    assert torch.equal(cut.ids, best.ids)


def test_drawn_shares_follow_the_model(model: MoEForCausalLM) -> None:
    many = rollout(model, [[7, 8]] * 4000, max_new_tokens=1, pad=PAD, seed=1)
    with torch.no_grad():
        want = model(torch.tensor([[7, 8]]))[0, -1].softmax(-1)
    got = torch.bincount(many.ids[:, 2], minlength=320) / 4000
    assert (got - want).abs().max() < 0.03


def test_a_long_prompt_loses_its_beginning_and_too_many_tokens_are_refused(
    model: MoEForCausalLM,
) -> None:
    long = list(range(5, 60))
    made = rollout(model, [long], max_new_tokens=4, pad=PAD, temperature=0)
    assert made.ids[0, :28].tolist() == long[-28:]
    with pytest.raises(UsageError):
        rollout(model, [long], max_new_tokens=32, pad=PAD)


def test_sample_speaks_text_without_special_tokens(
    model: MoEForCausalLM, shards_folder: Path
) -> None:
    tokenizer = export.load_tokenizer(shards_folder / "tokenizer")
    said = sample(model, tokenizer, ["river keeps", "法院", ""], max_new_tokens=12, seed=1)
    assert len(said) == 3 and any(said)
    assert not any("<|" in s for s in said)
    assert said == sample(model, tokenizer, ["river keeps", "法院", ""], max_new_tokens=12, seed=1)
    assert sample(model, tokenizer, []) == []
