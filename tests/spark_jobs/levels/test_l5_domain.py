from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.infra.configuration.settings import build
from headrace.infra.errors import UsageError
from headrace.spark_jobs.levels.base import Verdict
from headrace.spark_jobs.levels.l5_domain import DOMAIN, DOMAINS, DomainSettings
from headrace.spark_jobs.texts import Texts

LAW = (
    "第十二条 当事人一方不履行合同义务或者履行合同义务不符"
    "合约定的，应当承担继续履行、采取补救措施或者赔偿损失等"
    "违约责任。违反本法规定的，由县级以上地方人民政府主管部门"
    "责令改正，处五万元以下罚款；构成犯罪的，依法追究刑事责任。"
)
ILLNESS = (
    "患者男性，六十二岁，反复咳嗽、咳痰三年，近日发热，体温三"
    "十八度，胸部检查提示肺部感染。医生建议住院治疗，给予抗生素"
    "静脉滴注，同时口服止咳药物，注意观察不良反应，定期复查血常规和肝功能。"
)
SHARES = (
    "公司公告，前三季度实现营业收入52.3亿元，同比增长12%，"
    "归属于上市公司股东的净利润6.1亿元。沪指收盘上涨0.8%，"
    "券商板块领涨，北向资金净流入，分析师维持买入评级，"
    "目标价35元。央行开展逆回购操作，市场流动性充裕。"
)
NEWS = (
    "新华社北京电 来自全国各地的艺术家昨晚在人民大会堂举行音"
    "乐会，演出了交响乐和民族音乐作品，两千多名观众观看了演出。"
    "这座城市历史悠久，是著名的文化古城，每年吸引许多游客前来参观博物馆和古代建筑。"
)
TERMS = (
    "By accessing the Service you agree to be bound by these Terms. We may terminate your account "
    "without liability if you breach this Agreement. These Terms are governed by the laws of the "
    "State of California, and any dispute shall be settled by binding arbitration."
)
DISEASE = (
    "Type 2 diabetes is a chronic disease in which blood glucose is too high. Symptoms include "
    "thirst and fatigue. Treatment may include medication such as metformin, and patients should "
    "see a doctor regularly because complications affect the kidneys, eyes and heart."
)
REPORT = (
    "Net revenue for fiscal 2019 increased to $412.6 million, "
    "compared to $380.1 million in the prior "
    "year. Interest expense on our term loans decreased, "
    "and the effective tax rate was 21.4%. The fair "
    "value of derivative assets and goodwill impairment are "
    "set out in the consolidated financial statements."
)
CITY = (
    "The city lies on the northern bank of the river and was founded in the twelfth century. It is "
    "known for its cathedral, its university and its football club, and the old town was rebuilt "
    "after the war by an architect who had studied in Vienna."
)
WANTED = [
    ("legal", LAW),
    ("medical", ILLNESS),
    ("financial", SHARES),
    ("general", NEWS),
    ("legal", TERMS),
    ("medical", DISEASE),
    ("financial", REPORT),
    ("general", CITY),
]


def scored(texts: list[str], chosen: DomainSettings) -> dict[str, pa.Array[Any]]:
    return DOMAIN.score(Texts(pa.array(texts, pa.string()), np.zeros(len(texts), np.int8)), chosen)


def decided(texts: list[str], chosen: DomainSettings) -> Verdict:
    return DOMAIN.decide(pa.table(scored(texts, chosen)), chosen)


def test_plain_cases_are_assigned_and_kept() -> None:
    columns = scored([t for _, t in WANTED], DomainSettings())
    assert columns["domain"].to_pylist() == [d for d, _ in WANTED]
    verdict = decided([t for _, t in WANTED], DomainSettings())
    assert verdict.reason.null_count == verdict.detail.null_count == len(WANTED)


CHAT = (
    "哈哈哈哈你说得对啊 笑死我了 这也太搞了吧 我跟你讲啊 那个人真的有毛病 天天在群里喷别人 "
    "自己啥也不是 还好意思说别人没素质 呵呵 你们这种人就是闲的 键盘侠一个 有本事当面说啊 "
    "不服来辩 反正我是不会买了 客服态度差得要死 等了半天没人理 东西也不好吃 又贵又难吃 "
    "再也不来了 给一星都嫌多 楼上的你是水军吧 这都能夸得出口 真是醉了 别洗了 越洗越黑 "
    "我朋友也说他家不行 送餐慢 汤都洒了 打电话还凶我 差评差评差评 大家千万别上当啊"
)


def test_a_text_can_fit_none() -> None:
    code = "\n".join(f"    def get_{w}(self, x=None): return self._{w}[x]" for w in "abcdefghijkl")
    verdict = decided([CHAT, CHAT[:24], code], DomainSettings())
    assert verdict.reason.to_pylist() == ["domain.none"] * 3
    assert verdict.detail[0].as_py().startswith("best ")


def test_a_few_words_are_general_unless_they_reach_another_domain() -> None:
    """What would be refused as none in a page is too little to refuse in a sentence."""
    few = ["客服态度差得要死 等了半天没人理", "lol who asked u bro"]
    columns = scored(few, DomainSettings())
    assert decided(few, DomainSettings()).reason.null_count == len(few)
    assert columns["domain"].to_pylist() == ["general"] * 2
    assert max(columns["domain_score"].to_pylist()) < 0.7
    short = [LAW[:45], "患者发热三天，伴咳嗽、咳痰，给予抗生素治疗。"]
    assert scored(short, DomainSettings())["domain"].to_pylist() == ["legal", "medical"]


def test_the_lift_helps_no_domain_but_general() -> None:
    """Where only medicine is wanted, a short text on something else is refused as before."""
    few = ["木匠用旧门板做了一张长桌。", "The carpenter made a long table of old doors."]
    chosen = DomainSettings(targets={"medical": 0.9})
    assert decided(few, chosen).reason.to_pylist() == ["domain.none"] * 2


def test_a_statute_is_rejected_where_only_medicine_is_wanted() -> None:
    chosen = DomainSettings(targets={"medical": 0.9})
    assert decided([LAW, ILLNESS], chosen).reason.to_pylist() == ["domain.none", None]
    assert set(scored([LAW], chosen)["domain"].to_pylist()) == {"medical"}


def test_the_best_of_the_reached_targets_is_chosen() -> None:
    every = scored([REPORT], DomainSettings())
    assert every["domain"].to_pylist() == ["financial"]
    # The financial threshold is out of reach, so the text goes where it does reach.
    chosen = DomainSettings(targets={"financial": 1.0, "legal": 0.0})
    assert scored([REPORT], chosen)["domain"].to_pylist() == ["legal"]
    assert decided([REPORT], chosen).reason.to_pylist() == [None]


def test_order_of_targets_changes_nothing() -> None:
    forth = DomainSettings(targets=dict.fromkeys(DOMAINS, 0.5))
    back = DomainSettings(targets=dict.fromkeys(reversed(DOMAINS), 0.5))
    texts = [t for _, t in WANTED]
    assert scored(texts, forth) == scored(texts, back)


def test_a_target_without_a_model_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no model for domain 'sports'; known: general, legal"):
        build(DomainSettings, {"targets": {"sports": 0.5}})
    with pytest.raises(UsageError, match="threshold of legal"):
        build(DomainSettings, {"targets": {"legal": 1.5}})
    with pytest.raises(UsageError, match="no target"):
        build(DomainSettings, {"targets": {}})


def test_records_without_scores_pass_this_level() -> None:
    nothing = pa.table(
        {"domain": pa.nulls(2, pa.string()), "domain_score": pa.nulls(2, pa.float32())}
    )
    assert DOMAIN.decide(nothing, DomainSettings()).reason.to_pylist() == [None, None]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=200), max_size=5))
def test_any_text_has_a_domain_and_a_score(texts: list[str]) -> None:
    columns = scored(texts, DomainSettings())
    assert all(d in DOMAINS for d in columns["domain"].to_pylist())
    assert all(0 <= s <= 1 for s in columns["domain_score"].to_pylist())
