import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.infra.configuration.settings import build
from headrace.infra.errors import UsageError
from headrace.spark_jobs.fit import damage
from headrace.spark_jobs.levels.l2_semantics import SEMANTICS, SemanticsSettings
from headrace.spark_jobs.levels.semantics_model import REPEATED
from headrace.spark_jobs.texts import Texts

ZH = (
    "图书馆位于老城区的中心，前身是一座建于清朝末年的书院。一"
    "九五二年，市政府决定在原址上修建新的馆舍，历时三年才完工。"
    "馆内现有藏书一百二十万册，其中古籍善本三千余种，每年接待"
    "读者超过六十万人次。近年来，图书馆还在各个街道设立了分馆，"
    "居民凭一张借书证就可以在任何一家分馆借阅和归还图书。馆长"
    "介绍说，下一步将把重点放在古籍的数字化上，让更多的人能够"
    "通过网络看到这些珍贵的文献。不少老读者表示，他们"
    "从小学开始就在这里看书，对这座建筑有着很深的感情。",
    "第五条 承租人应当按照约定的方法使用租赁物。对租赁物的使"
    "用方法没有约定或者约定不明确的，应当按照租赁物的性质使用。"
    "第六条 承租人按照约定的方法使用租赁物，致使租赁物受到损耗"
    "的，不承担损害赔偿责任。承租人未按照约定的方法使用租赁物，"
    "致使租赁物受到损失的，出租人可以解除合同并要求赔偿损失。第七"
    "条 出租人应当履行租赁物的维修义务，但当事人另有约定的除外。",
    "最近总是头疼，晚上睡不好觉，白天没有精神，已经持续两个星"
    "期了，请问医生这是怎么回事？您好，根据您的描述，考虑可能与"
    "压力过大、休息不足有关系，建议您注意休息，避免熬夜，适当"
    "进行户外运动，必要时到医院做一个检查，排除高血压等疾病。"
    "平时饮食要清淡，多吃蔬菜水果，少喝咖啡和浓茶。如果症状没有好转，请及时到神经内科就诊。",
)
EN = (
    "The harbour was built in the eighteenth century, "
    "when the town lived from fishing and from trade "
    "with the islands. After the railway arrived, most "
    "of the ships moved to the larger port in the "
    "south, and the old warehouses stood empty for almost fifty years. In 1987 the council bought "
    "them for a small sum and let artists use the rooms. Today there are studios, a museum, and "
    "several restaurants, and in summer thousands of visitors walk along the quay every day.",
    "Before you install the package, make sure that the server runs a recent version of the system "
    "and that you have a backup of your data. Open the configuration file in an editor and change "
    "the value of the port if another service already uses it. Then restart the service and check "
    "the log: if there are no errors, the page should appear in your browser after a few seconds.",
    "Asthma is a condition in which the airways become "
    "narrow and swell. People who have asthma may "
    "wheeze, cough, or feel tightness in the chest, often at night. It cannot be cured, but its "
    "symptoms can be controlled. Because asthma often changes over time, it is important that you "
    "work with your doctor to track your signs and adjust your treatment as needed.",
)
CLEAN = (*ZH, *EN)


def scores(texts: list[str]) -> np.ndarray:
    held = Texts(pa.array(texts, pa.string()), np.zeros(len(texts), np.int8))
    return np.array(SEMANTICS.score(held, SemanticsSettings())["semantic_score"])


def damaged(how: damage.Damage, texts: tuple[str, ...], times: int = 3) -> np.ndarray:
    rng = random.Random(4)
    return scores([how(t, rng) for t in texts * times])


def test_sound_text_passes_whatever_its_genre_and_length() -> None:
    both = ["".join(ZH), " ".join(EN), "\n\n".join(CLEAN)]
    assert (scores([*CLEAN, *both]) >= 0.7).all()
    assert (scores([t[:100] for t in CLEAN]) >= 0.7).all()


@pytest.mark.parametrize("how", [damage.salad, damage.letter_salad, damage.dropped, damage.garbled])
def test_damage_lowers_the_score(how: damage.Damage) -> None:
    clean = scores(list(CLEAN))
    broken = damaged(how, CLEAN)
    lower = (broken.reshape(3, -1) < clean).mean()
    assert lower >= 0.9, broken.round(2)


def test_salad_of_a_page_is_rejected() -> None:
    page = ("".join(ZH), " ".join(EN))
    assert (damaged(damage.salad, page, 5) < 0.7).mean() >= 0.9
    assert (damaged(damage.letter_salad, page, 5) < 0.7).mean() >= 0.9


def test_repetition_is_rejected_and_named() -> None:
    text = [t[:60] * 12 for t in CLEAN]
    held = Texts(pa.array([*text, *CLEAN]), np.zeros(2 * len(CLEAN), np.int8))
    records = pa.table(SEMANTICS.score(held, SemanticsSettings()))
    verdict = SEMANTICS.decide(records, SemanticsSettings())
    assert verdict.reason.to_pylist()[: len(text)] == ["semantics.repeated"] * len(text)
    assert "% repeated" in verdict.detail[0].as_py()
    assert verdict.reason.to_pylist()[len(text) :] == [None] * len(CLEAN)


def test_a_page_repeated_once_is_no_fault_but_ten_times_is() -> None:
    twice, ten = scores(["\n".join(EN) * 2])[0], scores(["\n".join(EN) * 10])[0]
    assert ten < 0.7 < twice


def test_a_long_text_is_judged_like_its_parts() -> None:
    rng = random.Random(8)
    sentences = [s for t in EN for s in t.split(". ")]
    salad = " ".join(damage.salad(rng.choice(sentences), rng) for _ in range(1500))
    assert len(salad) > 100_000
    assert scores([salad])[0] < 0.5


def test_the_threshold_decides_and_may_be_replayed_without_private_columns() -> None:
    table = pa.table({"semantic_score": pa.array([0.1, 0.7, 0.9, None], pa.float32())})
    assert SEMANTICS.decide(table, SemanticsSettings()).reason.to_pylist() == [
        "semantics.incoherent", None, None, None,
    ]  # fmt: skip
    strict = SEMANTICS.decide(table, SemanticsSettings(threshold=0.8)).reason.to_pylist()
    assert strict == ["semantics.incoherent", "semantics.incoherent", None, None]


def test_a_wrong_threshold_is_refused() -> None:
    with pytest.raises(UsageError, match="threshold"):
        build(SemanticsSettings, {"threshold": 7})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=300), max_size=6))
def test_any_text_has_a_score_and_it_does_not_depend_on_the_batch(texts: list[str]) -> None:
    together = scores(texts)
    assert ((together >= 0) & (together <= 1)).all()
    assert all(scores([t])[0] == s for t, s in zip(texts, together, strict=True))


def test_columns_are_what_the_schema_says() -> None:
    held = Texts(pa.array(["", "!!!", "好"]), np.zeros(3, np.int8))
    columns = SEMANTICS.score(held, SemanticsSettings())
    assert {c: a.type for c, a in columns.items()} == {
        "semantic_score": pa.float32(),
        REPEATED: pa.float32(),
    }


def test_sound_text_of_one_short_sentence_passes() -> None:
    """A mean over few n-grams strays farther: the calibrated point reaches down to a sentence."""
    zh = [
        "前言。",
        "邮局八点开门。",
        "他把伞忘在车上了。",
        "请在表格下方签名。",
        "桥下的水涨了半米。",
        "第四章 附则。",
        "葡萄要到九月才熟。",
        "会议改在星期三下午。",
        "她在窗边种了两盆薄荷。",
        "船晚点了，我们在码头等了一个钟头。",
        "木匠用旧门板做了一张长桌。",
        "本规定自公布之日起施行。",
        "这座磨坊早就不用了，如今里面住着燕子。",
        "山路陡，上坡时请把行李交给向导。",
    ]
    en = [
        "The post office opens at eight.",
        "He left his umbrella on the bus.",
        "Sign below the table.",
        "The mill has been empty for years.",
        "Grapes ripen in September here.",
        "We waited an hour at the pier.",
        "She planted mint by the window.",
        "The water rose by a foot.",
    ]
    low = [t for t, v in zip([*zh, *en], scores([*zh, *en]), strict=True) if v < 0.7]
    assert len(low) <= 1, low


def test_short_text_without_order_is_found_the_surer_the_longer_it_is() -> None:
    """A sentence is seldom refused, sound or not; two or three are judged like a page."""
    rng = random.Random(3)

    def found(size: int) -> float:
        whole = [t[i : i + size] for t in ZH for i in range(0, len(t) - size, 15)]
        shuffled = ["".join(rng.sample(t, len(t))) for t in whole]
        return float((scores(shuffled) < 0.7).mean())

    assert found(45) > 0.2
    assert found(110) > 0.7
