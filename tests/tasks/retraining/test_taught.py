"""The windows that a champion was taught last, and how much of each."""

import shutil
from collections.abc import Callable
from pathlib import Path

from headrace.tasks.mlflow_log import registry
from headrace.tasks.retraining.taught import Taught, history, weights

Make = Callable[..., str]
TEXTS = ["one", "two"]


def taught(most: int = 5) -> list[tuple[str, int | None]]:
    models = registry("headrace")
    return [(t.name, t.tokens) for t in history(models.champion(), models, most)[2]]


def test_a_first_model_was_taught_no_window(champion: Make, release: Make) -> None:
    champion("ppo-1", release("base", TEXTS))
    assert taught() == []


def test_the_last_windows_with_what_each_round_trained_on(
    champion: Make, release: Make, state: Path
) -> None:
    champion("ppo-1", release("base", TEXTS))
    champion("ewc-1", release("w1", TEXTS, "base"), 100)
    champion("ewc-2", release("w2", TEXTS, "w1"), 300)
    champion("ewc-3", release("w3", TEXTS, "w2"), 200)
    assert taught() == [("w1", 100), ("w2", 300), ("w3", 200)]
    assert taught(2) == [("w2", 300), ("w3", 200)]
    assert taught(0) == []
    shutil.rmtree(state / "runs" / "ewc-2")
    assert taught(2) == [("w2", None), ("w3", 200)]


def test_a_corpus_of_several_releases_is_no_window(champion: Make, release: Make) -> None:
    """The first model was trained on a release and on its child: only w1 was a round."""
    release("base", TEXTS)
    champion("ppo-1", release("more", TEXTS, "base"))
    champion("ewc-1", release("w1", TEXTS, "more"), 100)
    assert taught() == [("w1", 100)]
    models = registry("headrace")
    _, original, _ = history(models.champion(), models, 5)
    assert [Path(r).name for r in original] == ["base", "more"]


def test_a_model_of_its_own_chain_did_not_learn_its_rivals_windows(
    champion: Make, release: Make
) -> None:
    champion("ppo-1", release("base", TEXTS))
    champion("ewc-1", release("w1", TEXTS, "base"), 100)
    champion("ppo-2", release("fresh", TEXTS))
    assert taught() == []
    champion("ewc-2", release("w2", TEXTS, "fresh"), 50)
    assert taught() == [("w2", 50)]


def test_windows_weigh_by_tokens_or_else_by_documents() -> None:
    known = Taught("/r/a", 300), Taught("/r/b", 100)
    assert weights(known, [10, 20]) == [300, 100]
    assert weights((known[0], Taught("/r/c", None)), [10, 20]) == [10, 20]
    assert weights((), []) == []
