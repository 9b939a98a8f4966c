"""No alarm on the same mix; an alarm on new topics, languages, scores; always the same answer."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from headrace.expectations.drift import Reference, compare, judge, sampled
from headrace.expectations.drift_tests import DIRECTIONS, NEIGHBOURS
from headrace.expectations.losses import LOSS
from headrace.expectations.settings import DriftSettings
from headrace.expectations.verdict import Comparison, DriftVerdict
from headrace.infra.errors import ValidationError

FEW = DriftSettings(permutations=399)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def words(topic: int, count: int = 60) -> list[str]:
    draw = np.random.default_rng(1000 + topic)
    return ["".join(draw.choice(list(_ALPHABET), draw.integers(3, 9))) for _ in range(count)]


COMMON = words(0, 200)


def documents(topics: list[int], seed: int) -> list[str]:
    """A text a topic number: half its words are of the topic, half of all."""
    draw = np.random.default_rng(seed)
    own = {t: words(t) for t in set(topics)}
    return [
        " ".join([*draw.choice(own[t], 20), *draw.choice(COMMON, int(draw.integers(10, 40)))])
        for t in topics
    ]


def side(n: int, seed: int, new: float = 0.0, scores: float = 0.0) -> pa.Table:
    """`n` documents of five topics, a share `new` of a sixth; `scores` lowers a score."""
    draw = np.random.default_rng(seed)
    topics = [6 if draw.random() < new else int(draw.integers(1, 6)) for _ in range(n)]
    return pa.table(
        {
            "text": documents(topics, seed),
            "lang": ["zh" if t % 2 else "en" for t in topics],
            "domain": [None] * n,
            "semantic_score": pa.array((draw.beta(8, 2, n) - scores).astype(np.float32)),
        }
    )


def of(verdict: Comparison, name: str) -> tuple[float, float]:
    test = next(t for t in verdict.tests if t.name == name)
    return test.p_value, test.effect


def test_same_mix_gives_no_alarm() -> None:
    """With level 0.005 four alarms among 40 windows have a chance of about 5e-5."""
    alarms = sum(
        compare(side(150, 2 * i), side(60, 2 * i + 1), FEW, seed=i).drift for i in range(40)
    )
    assert alarms <= 3


def test_new_topic_is_seen_in_the_text_alone() -> None:
    text = ["text"]
    verdict = compare(side(400, 1).select(text), side(150, 2, new=0.3).select(text), FEW)
    assert verdict.drift
    assert {NEIGHBOURS, DIRECTIONS} & set(verdict.drifted)
    # 30 % of the window is new; the effect is a lower bound, but for noise.
    assert 0.1 < verdict.effect < 0.45


def test_shifted_score_is_named() -> None:
    verdict = compare(side(400, 1), side(200, 2, scores=0.25), FEW)
    assert verdict.drifted == ("semantic_score",)
    assert verdict.p_value == 1 / 400


def test_shifted_language_is_named() -> None:
    window = side(200, 2)
    window = window.set_column(1, "lang", pa.array(["en"] * 200))
    verdict = compare(side(400, 1), window, FEW)
    assert "lang" in verdict.drifted
    assert of(verdict, "lang")[1] > 0.4


def test_a_difference_that_is_too_small_raises_no_alarm() -> None:
    strict = FEW.model_copy(update={"minimum_effect": 0.9})
    verdict = compare(side(400, 1), side(200, 2, scores=0.25), strict)
    assert verdict.p_value <= strict.alpha and not verdict.drift and verdict.drifted == ()


def test_same_question_gives_the_same_answer() -> None:
    a, b = side(120, 1), side(60, 2, new=0.2)
    assert compare(a, b, FEW, seed=3).to_json() == compare(a, b, FEW, seed=3).to_json()
    chunked = pa.concat_tables([a.slice(0, 50), a.slice(50)])
    assert compare(chunked, b, FEW, seed=3).to_json() == compare(a, b, FEW, seed=3).to_json()


def test_samples_are_bounded() -> None:
    small = FEW.model_copy(update={"max_reference": 100, "max_window": 50})
    verdict = compare(side(300, 1), side(200, 2), small)
    assert (verdict.reference_documents, verdict.window_documents) == (100, 50)


@pytest.mark.parametrize("n", [0, 19])
def test_too_few_documents(n: int) -> None:
    with pytest.raises(ValidationError, match=f"the window has {n} usable documents"):
        compare(side(100, 1), side(40, 2).slice(0, n), FEW)
    with pytest.raises(ValidationError, match=f"the reference has {n} usable documents"):
        compare(side(40, 2).slice(0, n), side(100, 1), FEW)


def test_blank_and_null_texts_are_left_out() -> None:
    blank = pa.table({"text": ["", "  \n", None] * 20})
    window = pa.concat_tables([side(40, 2).select(["text"]), blank])
    assert compare(side(100, 1), window, FEW).window_documents == 40


def test_repeats_count_once_where_the_reference_has_none() -> None:
    window = side(60, 2)
    repeated = pa.concat_tables([window, *[window.slice(0, 1)] * 100])
    assert compare(side(100, 1), repeated, FEW).window_documents == 60
    # A reference of raw text repeats itself too: then both sides stay as they are.
    raw = pa.concat_tables([side(100, 1), side(100, 1).slice(0, 20)])
    assert compare(raw, repeated, FEW).window_documents == 160


def test_columns_of_one_side_or_of_one_value_are_not_compared() -> None:
    verdict = compare(side(100, 1), side(60, 2).select(["text", "domain"]), FEW)
    assert {t.name for t in verdict.tests} == {"length", NEIGHBOURS, DIRECTIONS}


def test_missing_scores_are_left_out_of_that_test() -> None:
    window = side(60, 2)
    score = pa.array([None] * 30 + window["semantic_score"].to_pylist()[30:], pa.float32())
    verdict = compare(side(100, 1), window.set_column(3, "semantic_score", score), FEW)
    assert of(verdict, "semantic_score")[0] > 0.05
    empty = window.set_column(3, "semantic_score", pa.nulls(60, pa.float32()))
    assert "semantic_score" not in {t.name for t in compare(side(100, 1), empty, FEW).tests}


def test_equal_texts_everywhere() -> None:
    same = pa.table({"text": ["the same text"] * 50})
    assert not compare(same, same, FEW).drift
    with pytest.raises(ValidationError, match="1 usable"):
        compare(side(100, 1), same, FEW)


# Runs of neighbors

POOL = pa.table({"text": documents([t for t in range(1, 13) for _ in range(120)], 7)})
"""Twelve topics, one after the other."""


def in_runs(lengths: Sequence[int], seed: int) -> tuple[pa.Table, pa.Table]:
    """(window, rest): runs of neighbors of the pool, which start anywhere; the rest shuffled."""
    draw = np.random.default_rng(seed)
    taken = np.zeros(POOL.num_rows, bool)
    rows: list[int] = []
    for length in lengths:
        while True:
            start = int(draw.integers(0, POOL.num_rows - length + 1))
            if not taken[start : start + length].any():
                break
        taken[start : start + length] = True
        rows += range(start, start + length)
    rest = draw.permutation(np.flatnonzero(~taken))
    return POOL.take(pa.array(rows)), POOL.take(pa.array(rest))


@pytest.mark.parametrize("length", [1, 5, 20, 50])
def test_neighbors_from_one_pool_set_off_no_alarm(length: int) -> None:
    """Six windows each; at the level of 0.005 one alarm in 24 has a chance of 11 %, two of 0.7 %.

    Document by document, windows in runs of 20 alarm six times of six: the next test.
    """
    alarms = 0
    for seed in range(6):
        window, rest = in_runs([length] * (200 // length), 100 * length + seed)
        alarms += compare(rest.slice(0, 400), window, FEW, seed).drift
    assert alarms <= 1


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 5, 20, 50])
def test_runs_of_neighbors_alarm_at_most_one_window_in_a_hundred(length: int) -> None:
    """100 windows each; at a rate of 1 % more than three alarms have a chance of 1.8 %."""
    alarms = 0
    for seed in range(100):
        window, rest = in_runs([length] * (200 // length), 100_000 + 1000 * length + seed)
        alarms += compare(rest.slice(0, 400), window, FEW, seed).drift
    assert alarms <= 3


def test_without_their_order_the_same_windows_do() -> None:
    """What the order is worth: shuffled, runs can't be told from a window of a few topics."""
    alarms = 0
    for seed in range(3):
        window, rest = in_runs([20] * 10, 2000 + seed)
        mixed = window.take(np.random.default_rng(seed).permutation(200))
        alarms += compare(rest.slice(0, 400), mixed, FEW, seed).drift
    assert alarms == 3


def test_runs_of_varying_length_set_off_no_alarm() -> None:
    alarms = 0
    for seed in range(6):
        lengths = np.random.default_rng(seed).geometric(0.1, 20).tolist()
        window, rest = in_runs(lengths, 3000 + seed)
        alarms += compare(rest.slice(0, 400), window, FEW, seed).drift
    assert alarms <= 1


def test_a_reference_in_order_is_cut_as_well() -> None:
    alarms = 0
    for seed in range(4):
        window, rest = in_runs([10] * 20, 4000 + seed)
        order = np.argsort(np.random.default_rng(seed).integers(0, 60, rest.num_rows) // 1)
        reference = POOL.filter(pa.array(~np.isin(POOL["text"], window["text"])))
        found = compare(reference, window, FEW, seed)
        assert len(order) == rest.num_rows and found.reference_units < reference.num_rows / 4
        alarms += found.drift
    assert alarms == 0


@pytest.mark.parametrize("share", [0.15, 0.3])
@pytest.mark.parametrize("at_the_end", [False, True])
def test_new_text_is_seen_document_by_document_and_as_a_first_delivery(
    share: float, at_the_end: bool
) -> None:
    seen = 0
    for seed in range(4):
        draw = np.random.default_rng(5000 + seed)
        mixed = POOL.take(draw.permutation(POOL.num_rows))
        new = round(200 * share)
        texts = [*mixed["text"].to_pylist()[: 200 - new], *documents([40] * new, seed)]
        if not at_the_end:
            texts = [texts[i] for i in draw.permutation(200)]
        found = compare(mixed.slice(200, 400), pa.table({"text": texts}), FEW, seed)
        assert found.window_run == 1
        seen += found.drift
    assert seen == 4


def test_a_window_that_is_new_as_a_whole_is_seen_in_runs_too() -> None:
    texts = documents([t for t in range(40, 60) for _ in range(10)], 1)
    found = compare(POOL.take(pa.array(range(0, 1440, 3))), pa.table({"text": texts}), FEW)
    assert found.drift and found.window_units < 60


def test_few_runs_against_few_can_set_off_nothing_and_say_so() -> None:
    window = pa.table({"text": documents([30] * 60 + [31] * 60, 2)})
    reference = pa.table({"text": documents([1] * 60 + [2] * 60, 3)})
    found = compare(reference, window, FEW)
    assert found.window_units <= 5 and found.least_p > FEW.alpha and not found.drift


def test_pages_of_new_sites_are_runs_wherever_they_stand_in_the_file() -> None:
    """Ten sites of 20 pages, mixed: only their names tell that they are ten things, not 200."""
    draw = np.random.default_rng(8)
    window, rest = in_runs([20] * 10, 6000)
    order = draw.permutation(200)
    texts = window.take(order)
    sites = [f"site {i // 20}" for i in order]
    reference = rest.slice(0, 400)
    assert compare(reference, texts, FEW).drift
    found = compare(reference, texts.append_column("given_source", pa.array(sites)), FEW)
    assert found.order == "source" and not found.drift


# What the champion was taught last

OLD, TAUGHT, NEW = (1, 2, 3, 4, 5), (20, 21), (40, 41)
"""Topics of the corpus, of a lasting shift, and of a further one."""


def window_of(seed: int, taught: int = 0, new: int = 0, size: int = 200) -> pa.Table:
    """A window: old text, then so many documents of the lasting and of the further shift."""
    draw = np.random.default_rng(seed)
    topics = [
        *draw.choice(OLD, size - taught - new),
        *draw.choice(TAUGHT, taught),
        *draw.choice(NEW, new),
    ]
    texts = documents([int(t) for t in topics], seed)
    return pa.table({"text": texts, "domain": ["general"] * size})


CORPUS = window_of(1, size=1200)


def judged(window: pa.Table, learned: list[pa.Table], seed: int = 0) -> DriftVerdict:
    """The verdict where the corpus has these windows too, the last five of them taught last."""
    corpus = Reference("the corpus", pa.concat_tables([CORPUS, *learned]))
    taught = [Reference(f"window {i}", w) for i, w in enumerate(learned)][-5:]
    return judge(corpus, window, taught, None, FEW, seed, original=CORPUS)


@pytest.mark.parametrize("windows", [0, 1, 5, 15])
def test_the_alarm_ends_once_a_lasting_shift_was_learned(windows: int) -> None:
    learned = [window_of(10 + i, taught=60) for i in range(windows)]
    verdicts = [judged(window_of(90 + i, taught=60), learned, i) for i in range(3)]
    if windows == 0:
        assert all(v.drift for v in verdicts) and len(verdicts[0].comparisons) == 1
        return
    if windows <= 5:
        # A share of 2 or 7 % of the corpus; after 15 windows it is 21 % of this small one.
        assert all(v.comparisons[0].drift for v in verdicts), "the corpus alone never ends it"
    assert not any(v.drift for v in verdicts)
    assert all(v.p_value > FEW.alpha and v.drifted == () for v in verdicts)


@pytest.mark.parametrize("windows", [1, 5, 15])
@pytest.mark.parametrize("taught", [0, 60])
def test_a_further_shift_still_sets_it_off(windows: int, taught: int) -> None:
    """Beside the lasting shift, and in its place.

    Of 15 % beside another 30 %, each delivered in a row, not every window is seen.
    """
    learned = [window_of(10 + i, taught=60) for i in range(windows)]
    verdicts = [judged(window_of(200 + i, taught, new=30), learned, i) for i in range(3)]
    seen = [v for v in verdicts if v.drift]
    assert len(seen) >= (1 if taught else 3)
    assert all(v.drifted and v.p_value <= FEW.alpha for v in seen)


def test_the_old_mix_and_what_is_between_are_nothing_new() -> None:
    learned = [window_of(10 + i, taught=60) for i in range(2)]
    for i, taught in enumerate((0, 15, 30, 45)):
        verdict = judged(window_of(300 + i, taught), learned, i)
        assert not verdict.drift, (taught, verdict.comparisons)


def test_the_verdict_is_of_the_nearest_reference() -> None:
    verdict = judged(window_of(400, taught=60), [window_of(10, taught=60)])
    assert verdict.nearest is verdict.comparisons[1]
    assert verdict.p_value == verdict.comparisons[1].p_value > verdict.comparisons[0].p_value
    assert verdict.effect == verdict.comparisons[1].effect


def test_windows_too_small_to_compare_with_leave_the_corpus_alone() -> None:
    verdict = judged(window_of(500, taught=60), [window_of(10, taught=5, size=19)])
    assert len(verdict.comparisons) == 1 and verdict.drift


# The champion's loss


def losses_of(rows: int, level: float, seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    sizes = draw.integers(300, 1500, rows)
    return pa.table(
        {
            "lang": ["en"] * rows,
            "domain": ["general"] * rows,
            "bytes": pa.array(sizes),
            "bits": pa.array(sizes * (level + draw.normal(0, 0.3, rows))),
            "row": pa.array(np.arange(rows)),
        }
    )


def with_losses(level: float, taught_level: float | None = None, old: int = 1) -> DriftVerdict:
    """A window without any data drift whose loss is `level`, where held-out text has 2.0."""
    held = losses_of(100, 2.0, old).drop_columns(["row"])
    corpus = Reference("the corpus", CORPUS, heldout=held)
    taught = []
    if taught_level is not None:
        theirs = losses_of(60, taught_level, 3).drop_columns(["row"])
        taught = [Reference("window", window_of(10), heldout=theirs)]
    return judge(corpus, window_of(600), taught, losses_of(200, level, 2), FEW, 0)


def test_a_model_that_reads_the_window_worse_is_drift_by_itself() -> None:
    """As where words are shuffled, which no share, score or n-gram shows."""
    verdict = with_losses(2.3)
    assert verdict.drift and verdict.drifted == (LOSS,)
    loss = verdict.comparisons[0].loss
    assert loss is not None and loss.rise == pytest.approx(0.3, abs=0.1)
    # The effect keeps its unit: the share of the window that differs.
    assert verdict.effect < 0.06


def test_a_loss_that_does_not_rise_or_not_enough_is_none() -> None:
    assert not with_losses(2.0).drift and not with_losses(1.5).drift
    small = with_losses(2.0, old=4)
    assert small.comparisons[0].loss is not None
    strict = FEW.model_copy(update={"minimum_loss_rise": 0.5})
    held = losses_of(100, 2.0, 1).drop_columns(["row"])
    verdict = judge(
        Reference("c", CORPUS, heldout=held), window_of(600), (), losses_of(200, 2.3, 2), strict
    )
    assert not verdict.drift and verdict.p_value <= strict.alpha


def test_a_hard_kind_of_text_that_was_learned_is_no_rise() -> None:
    """The domain stays harder than the corpus for ever; the alarm must end all the same."""
    verdict = with_losses(2.6, taught_level=2.6)
    assert verdict.comparisons[0].drifted == (LOSS,) and not verdict.drift
    assert with_losses(2.6, taught_level=2.0).drift


def test_without_losses_the_verdict_says_why() -> None:
    verdict = judge(Reference("c", CORPUS), window_of(600), (), None, FEW, 0, "no such export")
    assert verdict.without_loss == "no such export" and verdict.comparisons[0].loss is None


def test_losses_belong_to_their_documents_whatever_is_left_out() -> None:
    """Blank texts and repeats are dropped; a loss of theirs is not another document's."""
    window = pa.concat_tables([pa.table({"text": ["", " "], "domain": ["x"] * 2}), window_of(600)])
    held = losses_of(100, 2.0, 1).drop_columns(["row"])
    scored = losses_of(202, 2.0, 2)
    corpus = Reference("c", CORPUS, heldout=held)
    found = judge(corpus, window, (), scored, FEW).comparisons[0].loss
    assert found is not None and found.strata[0].window_documents == 200
    plain = judge(corpus, sampled(window, FEW, 0), (), scored.slice(0, 200), FEW).comparisons[0]
    assert plain.loss is not None and plain.loss.strata[0].window_documents == 200
