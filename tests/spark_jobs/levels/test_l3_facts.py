"""Level 3: what is wrong for certain is refuted, what can be read otherwise is left alone."""

import datetime
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.levels.fact_findings import RULES
from headrace.spark_jobs.levels.l3_facts import FACTS, FactsSettings, decide, score
from headrace.spark_jobs.texts import Texts

ON = FactsSettings()


def judge(*texts: str) -> list[tuple[str, str | None, int]]:
    array = pa.array(texts)
    scores = score(Texts(array, np.zeros(len(texts), np.int8)), ON)
    return list(
        zip(
            scores["fact_verdict"].to_pylist(),
            scores["_fact_rule"].to_pylist(),
            scores["fact_checks"].to_pylist(),
            strict=True,
        )
    )


REFUTED = [
    ("date_impossible", "该协议于2023年2月30日正式签署。"),
    ("date_impossible", "二〇二三年四月三十一日，会议在京召开。"),
    ("date_impossible", "The rule took effect on February 30, 2021."),
    ("date_impossible", "It was signed on the 31st of June 2019 in Paris."),
    ("date_impossible", "该办法自2021年13月1日起施行。"),
    ("date_impossible", "The meeting of 29 February 2023 was short."),
    ("date_impossible", "Published 2021-02-30 by the agency."),
    ("day_impossible", "公司将于9月31日召开股东大会。"),
    ("weekday", "会议于2023年3月14日（星期一）召开。"),
    ("weekday", "The agreement was signed on Monday, 14 March 2023, in the capital."),
    ("weekday", "It opened on Friday, July 4, 2023."),
    ("weekday", "2023-03-14 (Monday): first meeting"),
    ("percentage", "Sales rose 45 % to EUR 1.2 mn from EUR 1.1 mn in the year before."),
    ("percentage", "Output went from 200 to 250 tonnes, an increase of 60%."),
    ("percentage", "Revenue increased $6.9 million, or 29%, to $83.5 million."),
    ("percentage", "产量从200万吨增长到250万吨，增长55%。"),
    ("direction", "Operating profit rose to EUR 8.7 mn from EUR 13.1 mn."),
    ("direction", "人口由1200万增加到900万。"),
    ("equation", "So we have 12 + 15 = 28 apples in all."),
    ("equation", "因此 6 × 7 = 48。"),
    ("proportion", "In the trial 12 of 48 patients (35%) recovered."),
    ("sum", "The class has 23 boys and 25 girls, a total of 58."),
    ("sum", "现有男生23人、女生25人，共计50人。"),
    ("share", "The sector accounts for 120% of the total output."),
    ("share", "该地区的识字率为123%。"),
    ("clock", "The train leaves at 10:75 a.m. every day."),
    ("clock", "会议定于上午9:75开始。"),
    ("age", "A 250-year-old man presented with chest pain."),
    ("age", "患者，230岁，因胸痛入院。"),
    ("coordinates", "该岛位于北纬95度附近。"),
    ("conversion", "The road is 100 km (31 miles) long."),
    ("conversion", "全长100公里（31英里）。"),
    ("temperature", "Water boils at 100 °C (150 °F)."),
    ("identifier", "See ISBN 978-0-306-40615-8 for details."),
    ("identifier", "其身份证号码为110105194912310021。"),
    ("identifier", "Pay to IBAN GB83 WEST 1234 5698 7654 32 please."),
    ("chronology", "He was born in 1980 in Paris and died in 1950."),
    ("chronology", "Born at sea, she was born in 1900 and died in 1950 aged 80."),
    ("span", "诗人王某（1950年－1920年）生于绍兴。"),
    ("capital", "Sydney is the capital of Australia."),
    ("capital", "上海是中国的首都。"),
    ("currency", "The currency of Japan is the peso."),
    ("currency", "日本的货币是欧元。"),
    ("continent", "Kenya is a country in South America."),
    ("continent", "肯尼亚位于欧洲。"),
    ("element", "Iron is a chemical element with the symbol Fe and atomic number 29."),
]


@pytest.mark.parametrize(("rule", "text"), REFUTED)
def test_wrong_statement_is_refuted_by_its_rule(rule: str, text: str) -> None:
    assert judge(text)[0][:2] == ("refuted", rule)
    filler = "委员会审议了报告。" if re.search("[\u4e00-\u9fff]", text) else "The report was read. "
    assert judge(filler * 30 + text + " " + filler * 30)[0][:2] == ("refuted", rule)


SUPPORTED = [
    "会议于2023年3月14日（星期二）召开。",
    "The agreement was signed on Tuesday, 14 March 2023, in the capital.",
    "Sales rose 9 % to EUR 1.2 mn from EUR 1.1 mn in the year before.",
    "产量从200万吨增长到250万吨，增长25%。",
    "产量从200万吨下降到150万吨，下降25%。",
    "Revenue increased $6.9 million, or 9%, to $83.5 million.",
    "Operating profit fell to EUR 8.7 mn from EUR 13.1 mn.",
    "So we have 12 + 15 = 27 apples in all.",
    "In the trial 12 of 48 patients (25%) recovered.",
    "The class has 23 boys and 25 girls, a total of 48.",
    "现有男生23人、女生25人，共计48人。",
    "The road is 100 km (62 miles) long.",
    "The tower is 828\u00a0m (2,717\u00a0ft) high.",
    "Water boils at 100 °C (212 °F).",
    "See ISBN 978-0-306-40615-7 for details.",
    "Pay to IBAN GB82 WEST 1234 5698 7654 32 please.",
    "其身份证号码为11010519491231002X。",
    "She was born in 1900 and died in 1950 aged 49.",
    "Canberra is the capital of Australia.",
    "Accra is the capital and largest city of Ghana.",
    "北京是中国的首都。",
    "日本的货币是日元。",
    "Kenya is a country in East Africa.",
    "Iron is a chemical element with the symbol Fe and atomic number 26.",
]


@pytest.mark.parametrize("text", SUPPORTED)
def test_right_statement_is_supported(text: str) -> None:
    verdict, _, checks = judge(text)[0]
    assert verdict == "supported"
    assert checks >= 1


UNVERIFIED = [
    "",
    "委员会审议了报告。",
    "If it were February 30, 2021, nothing would happen.",
    "February 30, 2021 is not a valid date.",
    "农历2023年2月30日是一个吉日。",
    "不存在2月30日这样的日期。",
    "Sweden had a day that others lack: 30 February 1712.",
    "Sales rose 3 % to EUR 1.2 mn from EUR 1.1 mn at constant currencies.",
    "亏损由1200万增加到900万。",
    "由79.4%提高到92.1%",
    "The gauge is 4 ft 8+1⁄2-inch (1.435 m).",
    "He is 5 ft 10 in (1.78 m) tall.",
    "The value went from 1990 to 1985.",
    "21.5 / 8 * 1024 = 2752 KBytes per second",
    "1 + 1 = 10 in binary",
    "10 x 4 - 4 = 36",
    "ISBN 1234567890123 stands for any number",
    "Calcutta was the capital of India until 1911.",
    "Milan is the fashion capital of Italy.",
    "Caesar (100 BC–44 BC) and Livia (1059–1029 BC)",
    "The vase is 250 years old.",
    "Ages rose by 120 percent of the earlier figure.",
    "公元前（1950年－1920年）",
]


@pytest.mark.parametrize("text", UNVERIFIED)
def test_what_can_be_read_otherwise_is_not_refuted(text: str) -> None:
    assert judge(text)[0][0] != "refuted"


def test_one_refutation_outweighs_any_support_and_is_the_reason() -> None:
    text = "It was Tuesday, 14 March 2023. The road is 100 km (31 miles) long."
    scores = score(Texts(pa.array(["", text]), np.zeros(2, np.int8)), ON)
    table = pa.table(scores)
    assert table["fact_verdict"].to_pylist() == ["unverified", "refuted"]
    assert table["fact_checks"].to_pylist() == [0, 2]
    verdict = decide(table, ON)
    assert verdict.reason.to_pylist() == [None, "facts.conversion"]
    assert "62.14 miles" in verdict.detail[1].as_py()
    off = decide(table, FactsSettings(enabled=False))
    assert off.reason.to_pylist() == [None, None]


def test_records_without_scores_pass() -> None:
    nothing = {name: pa.nulls(2, pa.string()) for name in ("_fact_rule", "_fact_detail")}
    assert decide(pa.table(nothing), ON).reason.null_count == 2


def test_batches_and_slices_give_the_same() -> None:
    texts = [text for _, text in REFUTED] + SUPPORTED + UNVERIFIED
    whole = judge(*texts)
    assert whole == [judge(text)[0] for text in texts]
    array = pa.array(["x", *texts]).slice(1)
    scores = score(Texts(array, np.zeros(len(texts), np.int8)), ON)
    assert scores["fact_verdict"].to_pylist() == [verdict for verdict, _, _ in whole]


@given(st.dates(datetime.date(1930, 1, 1), datetime.date(2090, 12, 31)), st.integers(0, 6))
def test_weekdays_of_any_date(date: datetime.date, day: int) -> None:
    names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    english = names[day]
    month = date.strftime("%B")
    chinese = "一二三四五六日"[day]
    expected = "supported" if date.weekday() == day else "refuted"
    got = judge(
        f"The meeting took place on {english}, {month} {date.day}, {date.year}, at noon.",
        f"The meeting took place on {english} {date.day} {month} {date.year} at noon.",
        f"会议于{date.year}年{date.month}月{date.day}日（周{chinese}）召开。",
    )
    assert [verdict for verdict, _, _ in got] == [expected] * 3


@given(st.dates(datetime.date(1800, 1, 1), datetime.date(2190, 12, 31)))
def test_dates_that_exist_are_never_refuted(date: datetime.date) -> None:
    got = judge(
        f"本办法自{date.year}年{date.month}月{date.day}日起施行。",
        f"It took effect on {date.strftime('%B')} {date.day}, {date.year}.",
        f"Updated {date.isoformat()} by the editor.",
    )
    assert {verdict for verdict, _, _ in got} == {"unverified"}


def test_rules_have_names_of_their_own() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names) <= 64
    assert all(re.fullmatch("[a-z_]+", name) for name in names)
    assert {rule.name for rule in RULES} == {*FACTS.reasons}
