"""Whether a text itself claims what stands in it, or speaks of it: quotes, denies, tests, narrates.

The rules look at a sentence; this looks at the text round it, and only where a rule has refuted
something, which is rare. A text that quotes a falsehood, reports it as one, sets it as an exercise,
has it in program code or in a story is not wrong. docs/levels/l3_facts.md states the rule.
"""

from __future__ import annotations

import re

REACH = 1_500
"""Characters on either side of a statement that `claimed` is given."""
_NEAR = 300
"""Characters on either side within which a denial, a test or a story refers to a statement."""
_BESIDE = 12
_LINE = 100
"""Characters on either side of a statement's beginning that may be a line of code with it."""

_OPEN, _CLOSE = "“「『«‹〝﹁", "”」』»›〞﹂"
_CODE_LINE = re.compile(
    r"[{}]\s*$|[)\]\"'];\s*$|^\s*(?:>>>|\.\.\. |\$ |#include|//|/\*)|[=!]=|&&|\|\||[-=]>|:=|\w\(\)"
    r"|^\s*(?:def|class|import|from|return|assert|with|print|let|const|var|function|SELECT|INSERT"
    r"|UPDATE)\b.*[:({;=]|\w\((?:[^()]*[\"'=][^()]*)\)"
)
_SOFTWARE = re.compile(
    r"pytest|unittest|assert\w*\(|\b\w+(?:Error|Exception)\b|\bparse[rds]?\b|parsing"
    r"|\bvalidat(?:e[sd]?|ion|ing)\b|\b(?:unit|test) (?:tests?|cases?|data|form|page|input)"
    r"|\btest(?:s|er|ers|ing) (?:of|the|also|for|try)|\ba test of\b|fixture|placeholder|dummy"
    r"|sample (?:data|record|row)|\b(?:input|date|form|text) field|\bprogram (?:must|should"
    r"|accepts?|refuses?|rejects?)|spreadsheet|regular expression|regex"
    r"|校验|报错|抛出|解析|单元测试|测试(?:用例|数据|程序|人员|员)|用例|占位|示例数据|输入框|表单"
    r"|程序(?:应|必须)",
    re.IGNORECASE,
)
"""Words of people who try out a program."""
_DENIED = re.compile(
    r"rumou?r|hoax|debunk|\bden(?:y|ies|ied) (?:it|this|that|the (?:rumou?r|report|claim|story))\b"
    r"|\brefute[sd]?\b|not true|untrue|misinformation|disinformation|misconception|\bmyth\b"
    r"|fact[- ]?check|fabricated|misprint|mistyped|erratum|\bfalsely\b"
    r"|\bfalse (?:claims?|statements?|dates?|reports?|news|figures?|answers?)"
    r"|claims? (?:is|was|are|were) false|no such (?:date|day|month|time|thing|person|place)"
    r"|(?:does|did|do) not exist|(?:doesn|didn|don).t exist|never existed|cannot (?:exist|be right)"
    r"|(?:has|have|had) (?:only|just|no more than|at most) (?:2\d|3\d|twenty|thirty)"
    r"|only (?:has|had) (?:2\d|3\d|twenty|thirty)"
    r"|there (?:is|was) no (?:2\d|3\d|twenty|thirty|such)"
    r"|should (?:have read|read|have been)|\bcorrected to\b|\bslip of the pen\b"
    r"|谣言|辟谣|不实|假消息|假新闻|虚假(?:消息|信息|新闻|报道)|误解|误传|误区|讹传|造谣|谣传|传言|传闻"
    r"|网传|网上流传|经核实|经查证|事实核查|(?:予以|作出|出面|发文)澄清|勘误|更正[：:为]|应[为是]\d"
    r"|应当?理解为"
    r"|没有这一?[天日]|哪来的|(?:没有|并无)\s?(?:2\d|3\d|二十|三十)[日号天]"
    r"|(?:只有|仅有|最多)\s?(?:2\d|3\d|二十|三十)[日号天]|并不存在|(?:日期|这一天|日子)不存在"
    r"|笔误|写错|写成|误写|误作|误将|错写|算错|说法(?:不|有误|错)",
    re.IGNORECASE,
)
"""Words that call something false, or say what is right instead."""
_EXERCISE = re.compile(
    r"判断题|判断正误|选择题|填空|练习题|本练习|习题|试题|考题|改错|错题|找错|对的打|错的打|打[√×✓✗]"
    r"|下[列面](?:哪|说法|各|句|算式|等式|日期)|哪(?:个|一个|些|句)(?:是)?(?:正确|错误|对|错)|答案是|有网友问"
    r"|\bquiz|worksheet|\bexercises? (?:\d|below|above|sheet)|\b(?:this|the following) exercise"
    r"|true or false|fill in the blank|multiple.choice|spot the (?:mistake|error)|find the "
    r"(?:mistake|error)|which of (?:the following|these)|correct the (?:mistake|error|sentence)"
    r"|homework|pupils? (?:must|should|mark)|tick the",
    re.IGNORECASE,
)
_BLANK = re.compile(r"[（(]\s*[）)]|_{3,}")
"""A blank to fill in, which stands right beside what is asked."""
_FICTION = re.compile(
    r"\b(?:in|of|the|this|a|his|her|whose) (?:\w+ )?(?:novel|novella|short story|fairy tale|fable"
    r"|screenplay|sitcom)\b(?! coronavirus)|fictional|protagonist|once upon a time"
    r"|\bin the (?:film|movie|play|story|tale|book)\b"
    r"|小说|童话|寓言|神话|科幻|剧中|片中|书中写|主人公|故事[里中]",
    re.IGNORECASE,
)
_CHAPTER = re.compile(
    r"^\s*(?:chapter [\dIVXLC]+\b|第[一二三四五六七八九十百\d]+[章回节]\b)",
    re.IGNORECASE | re.MULTILINE,
)
_SPEECH = re.compile(
    r"[”\"’],? (?:said|asked|replied|cried|answered|whispered|muttered)\b"
    r"|\b(?:said|asked|replied|cried|answered|whispered|muttered) (?:\w+ ?){1,3}[,.:]? [“\"]"
    r"|(?:说|问|道|喊|叫|答)道?[:：，]\s?[“「\"]",
    re.IGNORECASE,
)
_OLD_STYLE = re.compile(
    r"\b(?:old style|new style|julian|gregorian)\b|\b[ON]\.\s?S\.|revolutionary calendar"
    r"|calendar reform|儒略|俄历|旧历|格里高?利?历|阴历|农历|夏历|历法",
    re.IGNORECASE,
)
_OTHER_ARITHMETIC = re.compile(
    r"\bmod\b|modul[oa]|congruen|≡|同余|余数|remainder|boole|布尔|逻辑|\b(?:OR|XOR)\b"
    r"|truth (?:value|table)|binary|\bbase[- ](?:\d|two|three|eight|sixteen)|进制|octal|hexadecimal"
    r"|\bclock|钟[面表点]|时钟|\bGF ?\(|\bZ_?\d|ℤ|finite field|有限域|parity|奇偶|tropical|slogan"
    r"|口号|merger|synerg|协同|proverb|metaphor|比喻|likes to say|as the saying|俗话|所谓|大于[二2]"
    r"|group of order|concatenat|拼接|字符串"
)
"""Words of texts whose sums are none of plain numbers, or none at all."""
_SAYING = re.compile(r"(?<!\d)(?:1 ?\+ ?1 ?= ?(?:1|3|11|0)|2 ?\+ ?2 ?= ?(?:5|22))(?!\d)")
"""Sums that stand for something else than a sum in most texts that write them."""

_CALENDAR = {"date_impossible", "day_impossible", "weekday"}
_TYPED_IN = {*_CALENDAR, "clock", "identifier", "equation", "age", "coordinates"}
"""Rules on what is typed into programs to try them."""


def claimed(text: str, start: int, stop: int, rule: str) -> bool:
    """Whether `text[start:stop]`, which a rule found to be false, is claimed by the text.

    Args:
        text: the text, or REACH characters of it on either side.
        start: where the statement begins in `text`.
        stop: where it ends.
        rule: name of the rule.
    """
    near = text[max(0, start - _NEAR) : stop + _NEAR]
    beside = text[max(0, start - _BESIDE) : start] + text[stop : stop + _BESIDE]
    if _DENIED.search(near) or _EXERCISE.search(near) or _BLANK.search(beside):
        return False
    if rule in _TYPED_IN and _SOFTWARE.search(near):
        return False
    if rule in _CALENDAR and _OLD_STYLE.search(text):
        return False
    if rule == "equation" and (
        _OTHER_ARITHMETIC.search(near) or _SAYING.fullmatch(text[start:stop].strip())
    ):
        return False
    return not (
        _quoted(text, start, stop) or _in_code(text, start) or _FICTION.search(near) or _told(text)
    )


def _paragraph(text: str, start: int, stop: int) -> tuple[str, str]:
    """Return what stands before and after a statement in its paragraph."""
    return text[text.rfind("\n", 0, start) + 1 : start], text[stop:].split("\n", 1)[0]


def _quoted(text: str, start: int, stop: int) -> bool:
    """Whether a statement, or part of it, stands between quotation marks."""
    before, after = _paragraph(text, start, stop)
    for mark, end in zip(_OPEN, _CLOSE, strict=True):
        if before.rfind(mark) > before.rfind(end):
            return True
        if mark in text[start:stop]:
            return True
    if before.rfind("‘") > max((m.start() for m in re.finditer(r"’(?!\w)", before)), default=-1):
        return True
    # Straight marks look the same at both ends; after a digit they are inches or seconds.
    straight = len(re.findall(r"(?<!\d)\"|^\"", before))
    return bool(straight % 2 and '"' in after) or before.count("`") % 2 == 1


def _in_code(text: str, start: int) -> bool:
    """Whether a statement stands in program code."""
    if text[:start].count("```") % 2:
        return True
    first = max(text.rfind("\n", 0, start) + 1, start - _LINE)
    last = text.find("\n", start)
    line = text[first : min(last if last >= 0 else len(text), start + _LINE)]
    return bool(_CODE_LINE.search(line))


def _told(text: str) -> bool:
    """Whether it reads like a story: chapters, or people who speak."""
    return bool(_CHAPTER.search(text)) or len(_SPEECH.findall(text)) >= 3
