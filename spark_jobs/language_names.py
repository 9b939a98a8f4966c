"""Which language a person means who writes a locale, a name or another code than ours."""

from __future__ import annotations

import contextlib
import difflib
import re
from functools import cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.languages import get_official_languages

from headrace.spark_jobs.language_codes import KNOWN, SAME

_ALSO = dict.fromkeys(("汉语", "华语", "普通话", "mandarin", "cantonese"), "zh")
_ALSO |= {"英文": "en", "nb": "no"}
"""Names and codes that CLDR gives to none of ours."""


@cache
def _names() -> dict[str, str]:
    """Name in lower case -> code: as English, Chinese and the language itself have it (CLDR)."""
    out = dict(_ALSO)
    for code in sorted(KNOWN):
        shown = [Locale(shown).languages.get(code) for shown in ("en", "zh")]
        with contextlib.suppress(UnknownLocaleError):  # CLDR has no locale of some
            shown.append(Locale(code).get_language_name(code))
        out |= {name.lower(): code for name in shown if name}
    return out


def code_meant(name: str) -> str | None:
    """Return the code that a language goes by here, None where nothing tells which it is.

    Args:
        name: a locale (`zh_CN`, `en-US`), a code of three letters (`eng`), a name (`Chinese`,
            `英语`), or the code of a country whose official language is meant (`cn`).
    """
    whole = name.strip().lower()
    head = re.split(r"[-_.@ ]", whole)[0]
    alias = get_global("language_aliases").get(head, head)
    for code in (head, alias, SAME.get(head), _names().get(whole)):
        if code in KNOWN:
            return str(code)
    official = get_official_languages(head.upper(), de_facto=True) if len(head) == 2 else ()
    for language in official:
        if (code := language.split("_")[0]) in KNOWN:
            return str(code)
    named = [w for w in whole.split() if w in _names()]
    near = named or difflib.get_close_matches(whole, _names(), 1, 0.75)
    return _names()[near[0]] if near else None
