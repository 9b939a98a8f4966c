"""The reward model's file: loads back to the same scores, and says what is wrong with a bad one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from headrace.infra.errors import InputError
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.rlhf import reward_model
from headrace.training.rlhf.reward_model import ScalarModel


@pytest.fixture
def saved(model: MoEForCausalLM, world: Any, tmp_path: Path) -> tuple[ScalarModel, Path]:
    reward = ScalarModel(model).eval()
    torch.nn.init.normal_(reward.head.weight)
    reward.mean.fill_(0.3)
    reward.std.fill_(2.0)
    folder = reward_model.save(
        reward, tmp_path / "export", world.base, {"release_id": "r1"}, {"after": 0.9}
    )
    return reward, folder


def test_the_same_scores_after_loading(saved: tuple[ScalarModel, Path]) -> None:
    reward, folder = saved
    again = reward_model.load(folder)
    ids, last = torch.randint(5, 200, (3, 9)), torch.tensor([8, 4, 2])
    first = torch.tensor([3, 4, 0])
    with torch.no_grad():
        assert torch.equal(
            again.scaled(again(ids, first, last)), reward.scaled(reward(ids, first, last))
        )
    assert json.loads((folder / "lineage.json").read_text()) == {"release_id": "r1"}
    assert (folder / "tokenizer.json").exists()


def test_the_score_reads_nothing_behind_the_last_token(saved: tuple[ScalarModel, Path]) -> None:
    reward, _ = saved
    ids = torch.randint(5, 200, (1, 9))
    other = ids.clone()
    other[:, 5:] = 7
    with torch.no_grad():
        torch.testing.assert_close(
            reward(ids, torch.tensor([2]), torch.tensor([4])),
            reward(other, torch.tensor([2]), torch.tensor([4])),
        )


def test_the_score_is_of_the_mean_and_the_last_state(saved: tuple[ScalarModel, Path]) -> None:
    reward, _ = saved
    ids = torch.randint(5, 200, (1, 9))
    with torch.no_grad():
        states = reward.states(ids)[0]
        expected = reward.head(torch.cat([states[3:8].mean(0), states[7]]))
        got = reward(ids, torch.tensor([3]), torch.tensor([7]))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_a_new_head_ties_everything(model: MoEForCausalLM) -> None:
    ids = torch.randint(5, 200, (4, 6))
    with torch.no_grad():
        assert (ScalarModel(model)(ids, torch.full((4,), 2), torch.full((4,), 5)) == 0).all()


def test_other_folders_are_refused(
    saved: tuple[ScalarModel, Path],
    world: Any,
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match="no readable reward model"):
        reward_model.load(tmp_path / "none")
    with pytest.raises(InputError, match="not a reward model"):
        reward_model.load(world.base)
    (saved[1] / "model.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(InputError):
        reward_model.load(saved[1])
