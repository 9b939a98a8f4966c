import random
from collections import Counter

import pytest

from headrace.spark_jobs.fit import damage

EN = "The quick brown fox jumps over the lazy dog near the old stone bridge. " * 6
ZH = "敏捷的棕色狐狸跳过了懒惰的狗，然后跑到了河边的石桥上休息。" * 8
EVERY = tuple(dict.fromkeys(damage.ALL))


@pytest.mark.parametrize("text", [EN, ZH])
@pytest.mark.parametrize("how", EVERY)
def test_every_damage_changes_text_and_repeats_with_its_seed(how: damage.Damage, text: str) -> None:
    one, again = how(text, random.Random(1)), how(text, random.Random(1))
    assert one == again != text
    assert one.strip()


@pytest.mark.parametrize("how", damage.ORDER)
def test_order_is_all_that_salads_change(how: damage.Damage) -> None:
    assert Counter(how(EN, random.Random(2)).split()) == Counter(EN.split())
    assert Counter(how(ZH, random.Random(2))) == Counter(ZH)


def test_dropping_leaves_a_subsequence() -> None:
    rest = iter(EN)
    broken = damage.dropped(EN, random.Random(3))
    assert all(c in rest for c in broken)
    assert 0.55 < len(broken) / len(EN) < 0.92


def test_repetition_repeats_the_beginning() -> None:
    made = damage.repeated(EN, random.Random(5))
    assert made.startswith(EN[:40]) and made.count(EN[:40]) >= 4


def test_shuffled_sentences_are_whole() -> None:
    text = "One is here. Two is there! Three is gone?"
    made = damage.sentences_shuffled(text, random.Random(1))
    assert sorted(made.split(". ")) != [] and all(
        s in made for s in ("One is here.", "Two is there!", "Three is gone?")
    )


@pytest.mark.parametrize("text", ["", "a", "好", "  \n"])
@pytest.mark.parametrize("how", EVERY)
def test_hardly_any_text_is_no_fault(how: damage.Damage, text: str) -> None:
    assert len(how(text, random.Random(1))) <= max(2, len(text))
