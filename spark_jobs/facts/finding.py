"""What a check is and what it finds, and when a sentence only seems to state something."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from headrace.spark_jobs.kernels.anchors import Search


@dataclass(frozen=True)
class Finding:
    """The outcome of one check that applied."""

    supported: bool
    """False: what the text says can't be."""
    says: str
    """The words of the text."""
    truth: str
    """What holds instead, or the same where it is supported."""
    at: int
    """Where `says` begins in the window that the rule was given, in characters."""

    @property
    def detail(self) -> str:
        """For a person to read."""
        return f"the text says {self.says.strip()!r}; {self.truth}"


@dataclass(frozen=True)
class Rule:
    """A kind of statement that can be checked; `facts.<name>` is the reason of a rejection."""

    name: str
    search: Search
    """Where the statement may stand."""
    check: Callable[[str], Iterator[Finding]]
    """Findings in a window of text, which may begin and end within a word."""


_NOT_STATED = re.compile(
    r"\b(?:if|suppose|supposing|imagine|hypothetical\w*|fiction\w*|fictitious|no such|not exist"
    r"|doesn.t exist|never existed|not (?:an? )?(?:valid|real|possible|true|correct)|invalid"
    r"|impossible|incorrect\w*|erroneous\w*|wrong\w*|errors?|mistake\w*|typo|joke\w*|fake|hoax"
    r"|claims?|claimed|falsely|contrary|myth|misconception|test data|example)\b"
    r"|如果|假如|假设|假定|倘若|要是|不存在|并没有|并无|无效|错误|有误|笔误|误写|误以为|虚构|玩笑"
    r"|愚人|测试|示例|例如|比如|不是|并非|谣言|谎称|农历|阴历|旧历|夏历",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[。！？!?；;\n]|\.(?=\s)")


_REACH = 240
"""Characters on either side within which a sentence's ends are looked for."""


def sentence(text: str, start: int, end: int) -> str:
    """Return the sentence round `text[start:end]`, as far as the window and `_REACH` show it."""
    first, last = max(0, start - _REACH), min(len(text), end + _REACH)
    ends = [m.end() for m in _SENTENCE.finditer(text, first, start)]
    stop = _SENTENCE.search(text, end, last)
    return text[ends[-1] if ends else first : stop.start() if stop else last]


def stated(text: str, start: int, end: int) -> bool:
    """Whether the sentence around `text[start:end]` states it.

    A condition, question, negation, error report, example, or lunar calendar does not.
    """
    stop = _SENTENCE.search(text, end, min(len(text), end + _REACH))
    asked = stop is not None and stop[0] in "?？"
    return not asked and not _NOT_STATED.search(sentence(text, start, end))
