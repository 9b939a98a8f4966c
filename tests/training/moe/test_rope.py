import torch

from headrace.training.moe.rope import angles, rotate


def test_scores_depend_on_the_distance_alone() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def score(a: int, b: int) -> float:
        qa = rotate(q, *angles(torch.tensor([a]), 16, 10_000.0))
        kb = rotate(k, *angles(torch.tensor([b]), 16, 10_000.0))
        return float((qa * kb).sum())

    assert abs(score(7, 3) - score(104, 100)) < 1e-4
    assert abs(score(7, 3) - score(7, 5)) > 1e-3
