import numpy as np

from headrace.spark_jobs.fit.corpora import Passage
from headrace.spark_jobs.fit.semantics import BELOW, SHORT, Ids, bound, joined, mixed, pieces
from headrace.spark_jobs.kernels import fluency


def some(n: int = 40) -> list[Passage]:
    rng = np.random.default_rng(1)
    words = ["the", "house", "of", "old", "stands", "on", "hill", "near", "river", "town"]
    out = []
    for _ in range(n):
        sentences = [" ".join(rng.choice(words, 8)).capitalize() + "." for _ in range(8)]
        out.append(Passage(" ".join(sentences), "en", "general", "made"))
    return out


def test_pieces_pair_sound_text_with_damage_and_leave_lists_out() -> None:
    listed = [Passage("x, y, z " * 40, "zh", "financial", "akshare")]
    made = pieces([*some(), *listed], seed=2)
    again = pieces([*some(), *listed], seed=2)
    assert made.text == again.text and set(made.source) == {"en made"}
    others = ("sound", "repeated", "short")
    assert made.sound.sum() == (~np.isin(made.kind, others)).sum()


def test_short_texts_to_calibrate_on_are_whole_sentences() -> None:
    made = pieces(some(), seed=2)
    short = [t for t, k in zip(made.text, made.kind, strict=True) if k == "short"]
    assert len(short) > 100 and not made.sound[made.kind == "short"].any()
    low, high = SHORT["en"]
    assert all(low <= len(t) <= high and t[0].isupper() and t[-1] == "." for t in short)
    assert min(map(len, short)) < high / 3 and max(map(len, short)) > high / 2


def test_ids_sum_what_the_kernel_sums() -> None:
    ids = Ids(["A plain text of some words.", "合同无效，依法处理。", ""])
    weights = np.random.default_rng(3).integers(-9, 9, fluency.SIZE).astype(np.int8)
    data = np.frombuffer("A plain text of some words.合同无效，依法处理。".encode(), np.uint8)
    ends = np.array([27, data.size, data.size])
    starts = np.array([0, 27, data.size])
    sums, found, _ = fluency.measure(data, starts, ends, weights)
    assert np.array_equal(ids.sums(np.arange(3), weights), sums)
    assert np.array_equal(ids.found, found)


def test_mixing_finds_the_logistic_coefficients() -> None:
    rng = np.random.default_rng(4)
    x = np.column_stack([rng.normal(size=(20_000, 2)), np.ones(20_000)])
    wanted = np.array([2.0, -1.0, 0.5])
    sound = rng.random(20_000) < 1 / (1 + np.exp(-x @ wanted))
    assert np.allclose(mixed(x, sound, np.ones(20_000)), wanted, atol=0.15)


def test_the_bound_leaves_the_wanted_share_below_at_every_size() -> None:
    rng = np.random.default_rng(5)
    size = np.exp(rng.uniform(np.log(50), np.log(5000), 60_000))
    margin = 3 + 20 * rng.normal(size=size.size) / np.sqrt(size)
    low = margin < np.interp(np.log(size), *bound(margin, size, np.ones(size.size)))
    assert BELOW / 2 < low.mean() < 2 * BELOW
    assert low[size > 2000].mean() < 4 * BELOW and low[size < 100].mean() < 4 * BELOW


def test_the_bound_never_grows_milder_with_size() -> None:
    size = np.exp(np.linspace(np.log(50), np.log(5000), 6000))
    points = bound(np.log(size)[::-1], size, np.ones(6000))[1]
    assert (np.diff(points) >= 0).all()


def test_short_text_has_a_bound_of_its_own() -> None:
    """What a mean strays for want of n-grams is not held against a text of one sentence."""
    rng = np.random.default_rng(6)
    size = np.exp(rng.uniform(np.log(6), np.log(3000), 60_000))
    margin = 3 + 20 * rng.normal(size=size.size) / np.sqrt(size)
    weight = np.ones(size.size)
    large, small = size > 60, size < 50
    long_only = bound(margin[large], size[large], weight[large])
    both = joined(bound(margin[small], size[small], weight[small], 4), long_only)
    assert (np.diff(both) >= 0).all()
    low = margin < np.interp(np.log(size), *both)
    assert low[small].mean() < 3 * BELOW < (margin < long_only[1, 0])[small].mean()
    assert low[size < 12].mean() < 6 * BELOW
