import pytest
import torch

from headrace.training.ranks import ONE, Ranks, divided


def test_the_launcher_says_which_rank_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert Ranks.current() == ONE and ONE.first
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Ranks.current() == Ranks(1, 4) and not Ranks.current().first


def test_the_parts_are_the_whole_in_order() -> None:
    whole = torch.arange(24.0).view(8, 3)
    parts = [Ranks(r, 4).part(whole) for r in range(4)]
    assert all(p.shape == (2, 3) for p in parts)
    assert torch.equal(torch.cat(parts), whole)
    parts[0].zero_()  # a part is a rank's own
    assert whole[0, 1] == 1


def test_one_process_talks_to_nobody() -> None:
    x = torch.arange(3.0)
    assert ONE.part(x) is x and ONE.whole(x) is x and ONE.total(x) is x
    assert ONE.mean(0.1) == 0.1


def test_only_marked_parameters_are_divided() -> None:
    p = torch.nn.Parameter(torch.zeros(2))
    assert not divided(p)
    setattr(p, "allreduce", False)  # noqa: B010 (DeepSpeed's mark)
    assert divided(p)
