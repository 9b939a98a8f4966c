import random

import numpy as np

from headrace.spark_jobs.fit import finance_zh
from headrace.spark_jobs.fit.corpora import Passage
from headrace.spark_jobs.fit.domain import (
    FOLDS,
    REFUSED,
    THIN,
    LeftOut,
    calibration,
    chunk,
    examples,
    folds,
    lift,
    seeds_in,
    sizes,
)
from headrace.spark_jobs.fit.seeds import SEEDS
from headrace.spark_jobs.levels.domain_model import lifted
from headrace.spark_jobs.levels.l5_domain import DOMAINS


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


def test_chunks_of_every_domain_are_as_short_as_a_sentence() -> None:
    rng = random.Random(2)
    size = [len(chunk("河" * 5000, rng, "zh")) for _ in range(2000)]
    assert min(size) < 25 and max(size) > 1200 and np.mean(np.array(size) < 80) > 0.25
    remark = [
        Passage("今天的面条有点咸。" * 2 + str(i), "zh", "none", "remarks") for i in range(99)
    ]
    page = [
        Passage("公路沿着河岸走三里才到桥头。" * 300 + str(i), "zh", "general", "p")
        for i in range(99)
    ]
    rows, _, _, keys = examples([*remark, *page], seed=1)
    for domain in ("none", "general"):
        mine = [len(t) for t, k in zip(rows, keys, strict=True) if k[1] == domain]
        assert min(mine) < 40 and max(mine) > 200, domain


def test_the_lift_keeps_all_but_the_wanted_share_of_short_general_text() -> None:
    rng = np.random.default_rng(3)
    n = 40_000
    size = np.exp(rng.uniform(np.log(10), np.log(2000), n)).astype(np.int64)
    margins = np.full((n, 4), -3, np.float32)
    margins[:, 0] = 1 + 8 * rng.normal(size=n) / np.sqrt(size)
    sources = [
        LeftOut("zh", "general", s, margins[rows], rows)
        for s, rows in (("a", np.arange(n // 2)), ("b", np.arange(n // 2, n)))
    ]
    raised = lift(sources, size)
    assert (np.diff(raised[0]) > 0).all() and (np.diff(raised[1]) <= 0).all()
    after = lifted(margins, size, raised)
    brief = size <= THIN[-1]
    assert (margins[brief, 0] < 0).mean() > 3 * REFUSED > (after[brief, 0] < 0).mean() * 1.5
    long = size > 2 * THIN[-1]
    assert np.array_equal(after[long], margins[long])
    assert (after[margins[:, 0] < 0, 0] <= 0).all() and np.array_equal(after[:, 1:], margins[:, 1:])


def test_sizes_are_the_n_grams_that_the_kernel_counts() -> None:
    assert sizes(["河水拐弯", "the old mill", ""]).tolist() == [7, 5, 0]
