"""Files that lie beside data and are none: what describes it, checks it, or was left behind."""

from __future__ import annotations

import re

_TAG = r"([._-][a-z]{2,8}([_-][a-z]{2,4})?)?"
"""A language or the name of a license: README.zh-CN.md, LICENSE-MIT; notice-0017.txt has none."""
_PROSE = r"(\.(md|markdown|txt|rst|adoc|org|html?|pdf))?"
_DATA = "jsonl?|ndjson|parquet|csv|tsv|warc|wet"
_RULES = {
    "describes the data": (
        rf"(?!.*\.({_DATA})\b)(readme|licen[cs]e|copying){_TAG}{_PROSE}"
        rf"|(notice|changelog|authors|citation){_PROSE}|citation\.(cff|bib)"
    ),
    "checksums or a signature": (
        r"(md5|sha\d*|blake\w*|b2|crc\d*)-?sums?([._-]\w+)*|checksums?(\.\w+)*"
        r"|.*\.(md5|sha1|sha224|sha256|sha384|sha512|b2|blake[23]b?|crc|crc32c?|sfv|asc|sig)(\.txt)?"
    ),
    "still written, or a transfer cut off": (
        r".*\.(tmp|temp|part|partial|crdownload|filepart|download|lock|inprogress|_copying_)"
    ),
    "left by an editor or the system": (
        r".*~|.*\.(swp|swo|bak|orig|rej)|#.*#|thumbs\.db|ehthumbs\.db|desktop\.ini|icon\r"
    ),
}
_COMPILED = [(re.compile(rule, re.IGNORECASE | re.DOTALL), why) for why, rule in _RULES.items()]


def why_none(name: str) -> str:
    """Why a file of this name holds no data, "" where it may hold some.

    The name alone decides: what a README says could be any document.
    """
    return next((why for rule, why in _COMPILED if rule.fullmatch(name)), "")
