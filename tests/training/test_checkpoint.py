from pathlib import Path

import pytest
import torch

from headrace.infra.errors import UsageError
from headrace.training import checkpoint
from headrace.training.moe.config import MoEConfig
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import MuonAdamW, build_optimizer
from headrace.training.settings import OptimizerSettings

CONFIG = MoEConfig(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=2,
    head_dim=8,
    n_routed_experts=4,
    num_experts_per_tok=2,
    moe_intermediate_size=8,
)


def pair(seed: int) -> tuple[MoEForCausalLM, MuonAdamW]:
    torch.manual_seed(seed)
    model = MoEForCausalLM(CONFIG)
    return model, build_optimizer(model, OptimizerSettings())


def advance(model: MoEForCausalLM, optimizer: MuonAdamW) -> None:
    """A step on random tokens, which moves everything that a checkpoint must hold."""
    model(torch.randint(0, 40, (2, 6))).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    model.balance(0.01)


def test_training_goes_on_to_the_bit(tmp_path: Path) -> None:
    model, optimizer = pair(1)
    advance(model, optimizer)
    checkpoint.save(tmp_path, 1, model, optimizer, "a")
    for _ in range(3):
        advance(model, optimizer)
    other, fresh = pair(2)
    found = checkpoint.latest(tmp_path, "a")
    assert found is not None and found.step == 1
    found.restore(other, fresh)
    for _ in range(3):
        advance(other, fresh)
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert other.lm_head.weight is other.model.embed_tokens.weight


@pytest.mark.parametrize("file", [*checkpoint._FILES, "checksums.json"])
@pytest.mark.parametrize("how", ["cut", "gone", "flipped"])
def test_a_broken_newest_one_falls_back(tmp_path: Path, file: str, how: str) -> None:
    model, optimizer = pair(1)
    advance(model, optimizer)
    for step in (1, 2):
        checkpoint.save(tmp_path, step, model, optimizer, "a")
    path = tmp_path / "step-00000002" / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2] if how == "cut" else data)
    found = checkpoint.latest(tmp_path, "a")
    assert found is not None and found.step == 1
    checkpoint.save(tmp_path, 2, model, optimizer, "a")  # over the broken one
    again = checkpoint.latest(tmp_path, "a")
    assert again is not None and again.step == 2


def test_keeps_the_newest_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    model, optimizer = pair(1)
    advance(model, optimizer)
    (tmp_path / ".step-00000003.tmp").mkdir()  # a kill in the middle of a save
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, model, optimizer, "a", keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]


def test_another_run_is_refused(tmp_path: Path) -> None:
    model, optimizer = pair(1)
    checkpoint.save(tmp_path, 1, model, optimizer, "a")
    with pytest.raises(UsageError, match="other data or settings"):
        checkpoint.latest(tmp_path, "b")
    assert checkpoint.latest(tmp_path / "empty", "a") is None


def test_another_number_of_threads_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, optimizer = pair(1)
    advance(model, optimizer)
    checkpoint.save(tmp_path, 1, model, optimizer, "a")
    found = checkpoint.latest(tmp_path, "a")
    assert found is not None
    found.restore(model, optimizer)
    assert not caplog.records
    threads = found.state["threads"]
    assert isinstance(threads, int)
    found.state["threads"] = threads + 1
    found.restore(model, optimizer)
    assert "OMP_NUM_THREADS" in caplog.text
