"""Places in a document where a prompt can stop and a response continue: whole sentences."""

from __future__ import annotations

import re
from itertools import pairwise

_HAN = re.compile(r"[\u3400-\u9fff]")
_CLOSING = "\"')\\]\u201d\u2019\u300d\u300f\uff09\u300b"
_END_ZH = re.compile(
    f"(?<=[\u3002\uff01\uff1f])(?![{_CLOSING}])|(?<=[\u3002\uff01\uff1f][{_CLOSING}])"
)
# After a full stop: space, then a capital, an opening mark or a digit; not after a lone initial or
# a short title, which end no sentence.
_END_EN = re.compile(
    "(?<![ .][A-Z]\\.)(?<!\\b(?:Mr|Dr|Ms|St|No|vs|Jr|Sr)\\.)(?<!\\b(?:Mrs|etc|Inc|Ltd)\\.)"
    f"(?:(?<=[.!?])|(?<=[.!?][{_CLOSING}]))\\s+(?=[A-Z\"'(\u201c\\d])"
)


def sentences(text: str, lang: str) -> list[list[str]]:
    """Return the sentences of each paragraph (line) of `text`, with their final marks."""
    out = []
    for line in text.splitlines():
        line = re.sub(r"\s+", " ", line).strip()
        if not line:
            continue
        parts = (_END_ZH if lang == "zh" else _END_EN).split(line)
        out.append([p.strip() for p in parts if p.strip()])
    return out


def is_sentence(text: str, lang: str) -> bool:
    """Whether `text` ends as a sentence does and is mostly of the script of `lang`."""
    if not re.search(f"[.!?\u3002\uff01\uff1f][{_CLOSING}]?$", text):
        return False
    han = len(_HAN.findall(text))
    latin = len(re.findall(r"[A-Za-z]+", text))
    return han > 4 * latin if lang == "zh" else latin > 4 * han


def places(
    text: str, lang: str, max_beginning: int, max_response: int, min_bytes: int = 24
) -> list[tuple[str, str]]:
    """(beginning, response) at every place where both are sentences of fitting length.

    Args:
        text: a document.
        lang: its language, zh or en.
        max_beginning: longest beginning, in bytes of UTF-8.
        max_response: longest response, in bytes.
        min_bytes: shortest of either.
    """
    out = []
    for paragraph in sentences(text, lang):
        for first, second in pairwise(paragraph):
            a, b = len(first.encode()), len(second.encode())
            if (
                min_bytes <= a <= max_beginning
                and min_bytes <= b <= max_response
                and is_sentence(first, lang)
                and is_sentence(second, lang)
            ):
                out.append((first, second))
    return out
