import numpy as np

from headrace.spark_jobs.fit import finance_zh
from headrace.spark_jobs.fit.corpora import Passage
from headrace.spark_jobs.fit.domain import (
    DOMAINS,
    FOLDS,
    LeftOut,
    calibration,
    examples,
    folds,
    seeds_in,
)
from headrace.spark_jobs.fit.seeds import SEEDS


def test_seed_terms_are_counted_a_hundred() -> None:
    assert seeds_in("股票" * 50, "zh", "financial") == 50
    assert seeds_in("the bank raised its dividend " * 20, "en", "financial") == 40
    assert seeds_in("nothing of the kind here", "en", "medical") == 0


def test_made_up_finance_is_repeatable_chinese_without_open_slots() -> None:
    made = finance_zh.texts(60, seed=3)
    assert made == finance_zh.texts(60, seed=3) != finance_zh.texts(60, seed=4)
    assert all("{" not in t and len(t) > 10 for t in made)
    dense = [seeds_in(t, "zh", "financial") for t in made]
    assert np.median(dense) > 1


def test_dense_general_text_becomes_financial_and_doubtful_text_is_left_out() -> None:
    dull = "The museum shows paintings of the old masters in its quiet rooms by the river. " * 20
    dense = "Shares rose as investors bought bank stocks after earnings and revenue grew. " * 20
    between = "The bank of the river was shown in colour and light by the painter. " * 20
    texts = [Passage(t, "en", "general", s) for t, s in ((dull, "a"), (dense, "b"), (between, "c"))]
    _, y, w, keys = examples(texts, seed=1)
    assert {k for k in keys if k[0] == "en"} == {("en", "general", "a"), ("en", "financial", "b")}
    mine = [i for i, k in enumerate(keys) if k == ("en", "financial", "b")]
    assert (y[mine] == [d == "financial" for d in DOMAINS]).all() and (w >= 0).all()


def test_sisters_are_in_different_folds() -> None:
    keys = [("zh", "legal", "a"), ("zh", "legal", "b"), ("en", "general", "c")]
    keys += [("en", "general", s) for s in "defgh"]
    fold = folds(keys)
    assert fold["a"] != fold["b"] and len({fold[s] for s in "cdefgh"}) == FOLDS


def test_calibration_puts_the_even_point_between_the_two_sides() -> None:
    rng = np.random.default_rng(1)
    y = np.repeat(np.eye(4, dtype=np.float32), 200, axis=0)
    margins = (y * 2 + 5 + rng.normal(0, 0.1, y.shape)).astype(np.float32)
    rows = np.arange(len(y))
    gain, offset = calibration([LeftOut("en", "x", "s", margins, rows)], y, np.ones_like(y))
    fixed = gain * margins + offset
    assert ((fixed > 0) == (y > 0)).mean() > 0.99


def test_no_seed_term_speaks_for_two_domains() -> None:
    for lang in ("zh", "en"):
        lists = [set(SEEDS[lang, d]) for d in DOMAINS[1:]]
        assert not lists[0] & lists[1] and not lists[0] & lists[2] and not lists[1] & lists[2]
