"""Locales, names and other codes lead to the language that is meant."""

import pytest

from headrace.infra.configuration.settings import build
from headrace.infra.errors import UsageError
from headrace.spark_jobs.language_codes import KNOWN
from headrace.spark_jobs.language_names import code_meant
from headrace.spark_jobs.settings import CurateSettings


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("zh-CN", "zh"), ("zh_TW", "zh"), ("zh-Hans", "zh"), ("ZH", "zh"), ("cn", "zh"),
        ("chi", "zh"), ("zho", "zh"), ("cmn", "zh"), ("yue", "zh"), ("wuu", "zh"),
        ("Chinese", "zh"), ("Simplified Chinese", "zh"), ("Mandarin", "zh"), ("中文", "zh"),
        ("汉语", "zh"), ("english", "en"), ("English", "en"), ("EN", "en"), ("eng", "en"),
        ("en-US", "en"), ("en_GB.UTF-8", "en"), ("us", "en"), ("英语", "en"), ("英文", "en"),
        ("engish", "en"), ("français", "fr"), ("jp", "ja"), ("日本語", "ja"), ("nb", "no"),
        ("klingon", None), ("xx", None), ("", None), ("7", None),
    ],
)  # fmt: skip
def test_the_language_that_is_meant(name: str, code: str | None) -> None:
    assert code_meant(name) == code


def test_every_code_means_itself() -> None:
    assert {code: code_meant(code) for code in KNOWN} == {code: code for code in KNOWN}


@pytest.mark.parametrize(
    ("languages", "said", "hint"),
    [
        (["zh-CN", "english"], "'zh-CN' or 'english'", "write [zh, en]"),
        (["zh", "zh_TW"], "'zh_TW'", "write [zh]"),
        (["zh", "klingon"], "'klingon'", "ISO 639-1"),
        ([], "every record would be rejected", "write [zh, en]"),
        (["zh\u200b"], r"'zh\u200b'", "ISO 639-1"),
        ([" zh"], "' zh'", "write [zh]"),
    ],
)
def test_unknown_languages_are_refused(languages: list[str], said: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        build(CurateSettings, {"input": {"languages": [*languages]}})
    assert said in error.value.message and hint in error.value.hint
