"""Text from outside, made safe to show: on a terminal, in a log line, on a page.

File names, records, reasons of other programs hold what their authors want: a line feed that begins
a forged line, an escape sequence that moves the cursor, a bidirectional override that reorders what
is read. Shown text has none of them.
"""

from __future__ import annotations

import json
import re

_HIDDEN = (
    r"\x00-\x1f\x7f-\x9f"  # control characters, C0 and C1
    r"\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff"  # half a pair; what surrogateescape makes of bytes that are not UTF-8
    r"\U000e0000-\U000e007f"  # tags: letters that no one sees
)
_UNSAFE = re.compile(f"[{_HIDDEN}]")
_UNSAFE_IN_TEXT = re.compile(rf"(?![\n\t])[{_HIDDEN}]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&])")


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode()


def visible(text: object, most: int | None = None) -> str:
    r"""Return `str(text)` on one line with every character visible: `a\nb`, `\x1b[2J`.

    Args:
        text: anything; bytes that a file name could not decode (surrogateescape) show as `\xd3`.
        most: characters after which the rest is replaced by an ellipsis.
    """
    line = _UNSAFE.sub(_escaped, str(text))
    return line if most is None or len(line) <= most else line[:most] + "…"


def visible_text(text: str) -> str:
    """`visible` for text of several lines: line feeds and tabs stay what they are."""
    return _UNSAFE_IN_TEXT.sub(_escaped, text)


def json_line(value: object) -> str:
    """Return a value as JSON on one line: safe on a terminal, and the same value to any parser."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return _UNSAFE.sub(lambda m: json.dumps(m[0])[1:-1], text)


def markdown(text: object) -> str:
    """`visible` text that Markdown shows as it stands: no link, image, tag or table border."""
    return _MARKDOWN.sub(r"\\\1", visible(text))


def markdown_code(text: object) -> str:
    """`visible` text as Markdown code, whatever backticks it holds."""
    line = visible(text)
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    return f"{fence} {line} {fence}" if len(fence) > 1 else f"`{line}`"
