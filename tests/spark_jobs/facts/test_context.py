"""What a text claims, and what it only quotes, denies, asks, tells or tries out."""

import numpy as np
import pyarrow as pa
import pytest

from headrace.spark_jobs.facts.context import claimed
from headrace.spark_jobs.levels.fact_findings import PER_CHARACTERS
from headrace.spark_jobs.levels.l3_facts import FactsSettings, score
from headrace.spark_jobs.texts import Texts


def verdicts(*texts: str) -> list[str]:
    array = pa.array(texts)
    scores = score(Texts(array, np.zeros(len(texts), np.int8)), FactsSettings())
    return [str(v) for v in scores["fact_verdict"].to_pylist()]


ZH_DATE, ZH_SUM, ZH_CAPITAL = "2021年4月31日", "14 + 27 = 43", "巴西的首都是圣保罗"
EN_DATE, EN_SUM, EN_CAPITAL = "31 April 2015", "14 + 27 = 43", "The capital of Turkey is Istanbul"

SPOKEN_OF = [
    # a denied rumor, a correction, a misconception
    f"网上有帖子说{ZH_DATE}将发生地震。气象部门随后辟谣，提醒市民不要转发。",
    f"报纸把开幕时间印成了{ZH_DATE}，第二天刊出勘误，改为5月1日。",
    f"很多人以为{ZH_CAPITAL}，这是一个常见的误区，首都其实在内陆。",
    f"有人转发消息称{ZH_CAPITAL}。经核实，该说法不实。",
    f"A post claims that the bridge closed on {EN_DATE}. The city calls it a hoax.",
    f"The leaflet gave {EN_DATE} as the day of the vote; the printer apologized for the misprint.",
    f"{EN_CAPITAL}. That is a common misconception, for the government sits in Ankara.",
    f"The office said that a storm would come on {EN_DATE}, and later denied the report.",
    # a contract that is wrong, and a court that says so
    f"租约将到期日写成{ZH_DATE}。法院认为4月没有31日，应当理解为4月的最后一天。",
    f"The lease ends on {EN_DATE}. As April has only thirty days, the court took the last one.",
    # test data and program code
    f"测试人员在表单里输入{ZH_DATE}，程序应当拒绝并给出提示。",
    f"单元测试传入{ZH_DATE}，断言解析函数抛出异常。",
    f"The tester types {EN_DATE} into the date field, and the program must refuse it.",
    'assert parse_date("2015-04-31") is None  # raises nothing',
    "    total = add(14, 27)\n    check(14 + 27 = 43);\n    return total",
    "```\n14 + 27 = 43\n```",
    # a quiz, an exercise
    f"判断题：{ZH_SUM}（ ）  15 + 6 = 21（ ）。",
    f"改错题：请找出下列算式中的错误。{ZH_SUM}。",
    f"{ZH_DATE}是星期几？答案是没有这一天。",
    f"True or false? {EN_CAPITAL}. Write your answer below.",
    f"Worksheet 3. Tick the right sums. {EN_SUM}. 15 + 6 = 21.",
    f"Which of the following dates is real: {EN_DATE} or 30 April 2015",
    # quotations
    f"他在会上说：“{ZH_CAPITAL}。”台下一片笑声。",
    f"信中写道：「会议定于{ZH_DATE}举行」，落款没有日期。",
    f"“{EN_CAPITAL},” the minister told the press.",
    f'The note read "we meet on {EN_DATE}" and nothing more.',
    # fiction
    f"小说里，主人公在{ZH_DATE}醒来，发现时间停住了。",
    f"In the novel the clocks stop on {EN_DATE}, and nobody notices.",
    f"“Where?” said Tom.\n“There,” said Ann. “Wait,” cried Tom.\nOn {EN_DATE} it rained.",
    # other calendars and other sums
    "According to the Julian calendar she was born on Friday, 14 January 1900.",
    "二进制里 14 + 27 = 43 这样的式子没有意义，因为没有数字4。",
    "On a clock with 12 hours 9 + 5 = 2, and nobody finds it odd.",
    "In arithmetic modulo seven we write 5 + 4 = 2.",
    "在布尔代数中，1 + 1 = 1。",
    "The board likes to say that with this deal 1 + 1 = 3.",
    "The party taught that 2 + 2 = 5.",
]


@pytest.mark.parametrize("text", SPOKEN_OF)
def test_words_about_a_falsehood_are_no_falsehood(text: str) -> None:
    filler = "委员会审议了报告。" if "。" in text else "The report was read to the board. "
    assert verdicts(text)[0] != "refuted"
    assert verdicts(filler * 40 + text + filler * 40)[0] != "refuted"


CLAIMED = [
    f"该工程于{ZH_DATE}竣工，投入使用。",
    f"因此 {ZH_SUM}。",
    f"{ZH_CAPITAL}。这个国家盛产咖啡。",
    f"巴西以圣保罗为首都。{ZH_SUM}。",
    f"The bridge was opened on {EN_DATE}.",
    f"So the bill came to {EN_SUM} in all.",
    f"{EN_CAPITAL}. The city lies on two continents.",
    "Turkey's capital is Istanbul. Its port is old.",
    "Istanbul is Turkey’s capital. People come from afar.",
    "The capital of Australia is Sydney. Canberra is smaller.",
    "The capital of Brazil is São Paulo. St. Helena is far away.",
]
BESIDE = [
    ("委员会审议了报告。", "大家没有异议。"),
    ("他问今天吃什么？", "没有人回答。"),
    ("The report was read. ", " Nobody spoke."),
    ("Doctor: How do you feel? Patient: Better. ", " Doctor: Any pain? Patient: None."),
    ("He denies chest pain. ", " The tests were normal."),
    ("We exercise (twice) and read a story. ", " It's the children's “favorite” time."),
    ("A 5'10\" man came in. ", " He left at once."),
]


@pytest.mark.parametrize("text", CLAIMED)
@pytest.mark.parametrize(("before", "after"), BESIDE)
def test_a_claim_is_refuted_whatever_stands_beside_it(text: str, before: str, after: str) -> None:
    assert verdicts(before + text + after) == ["refuted"]


def test_names_stop_at_the_end_of_their_sentence() -> None:
    for then in ("The country exports coal.", "It", "Canberra is near.", "A. B. Smith said so."):
        assert verdicts(f"The capital of Australia is Sydney. {then}") == ["refuted"]
    assert verdicts("The capital of the United States is Washington, D.C. It lies on a river.") == [
        "supported"
    ]


def test_one_slip_rejects_a_text_but_not_a_book() -> None:
    filler, slip = "委员会审议了报告。", "该工程于2021年4月31日竣工。"
    short = filler * ((PER_CHARACTERS - len(slip)) // len(filler))
    assert verdicts(slip + short, slip + short + filler) == ["refuted", "unverified"]
    # Different slips, one for each PER_CHARACTERS begun: now it is the text that is bad.
    slips = [f"该工程于202{n}年4月31日竣工。" for n in range(3)]
    book = filler * (2 * PER_CHARACTERS // len(filler))
    assert verdicts("".join(slips) + book, "".join(slips[:2]) + book) == ["refuted", "unverified"]
    assert verdicts(slips[0] * 3 + book) == ["unverified"], "the same one counts once"


def test_the_place_of_a_statement_is_found_in_any_text() -> None:
    text = "前文“引号”已经结束。" * 3 + "该工程于2021年4月31日竣工。"
    at = text.index("2021")
    assert claimed(text, at, at + 10, "date_impossible")
    assert verdicts(text) == ["refuted"]
    odd = "é\u00a0" * 700 + "他说：“" + "该工程于2021年4月31日竣工。" + "”"
    assert verdicts(odd) == ["unverified"]
