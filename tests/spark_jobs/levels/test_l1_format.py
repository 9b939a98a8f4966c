"""Level 1: every rule catches its fault, and text of every genre passes."""

import base64
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.spark_jobs.kernels import characters
from headrace.spark_jobs.kernels.language import identify
from headrace.spark_jobs.levels.base import Verdict
from headrace.spark_jobs.levels.format_rules import RULES
from headrace.spark_jobs.levels.l1_format import FORMAT, FormatSettings, decide, score
from headrace.spark_jobs.texts import Texts

ENGLISH = "The committee met in the capital and agreed that the plan should be carried out. " * 4
CHINESE = "委员会在首都开会，一致同意按照原定方案推进各项工作，并于年底前完成验收。" * 4


def judge(text: str, bounds: FormatSettings | None = None) -> tuple[str | None, str | None]:
    bounds = bounds or FormatSettings()
    texts = pa.array([text])
    lang, _, codes = identify(texts, 1)
    table = pa.table({"text": texts, "lang": lang, **score(Texts(texts, codes), bounds)})
    verdict = decide(table, bounds)
    return verdict.reason[0].as_py(), verdict.detail[0].as_py()


def holes(text: str, filler: str) -> str:
    draw = random.Random(5)
    return "".join(draw.choice(filler) if draw.random() < 0.3 else c for c in text)


FAULTS = [
    ("undecodable", holes(ENGLISH, "\ufffd")),
    ("undecodable", holes(CHINESE, "\ufffd\x01\x0e")),
    ("undecodable", CHINESE.encode("gb18030").decode("utf-8", "replace")),
    ("control", holes(ENGLISH, "\x01")),
    ("control", holes(CHINESE, "\x0e")),
    ("private_use", holes(CHINESE, "\ue123")),
    ("mojibake", ("Ce texte a été abîmé à l’entrée. " * 9).encode().decode("cp1252", "ignore")),
    ("mojibake", "锟斤拷" * 20 + CHINESE[:60]),
    ("encoded", base64.b64encode(random.Random(2).randbytes(900)).decode()),
    ("encoded", "see " + "deadbeef" * 40),
    ("repeated", "a" * 300),
    ("repeated", "还可以" + "。" * 60),
    ("line_noise", "|-+-| #$ %^ &* () <> [] {} ;: ~~ == ++ -- ab"),
    ("markup", "<div class='a'><span style='b'></span></div>" * 9 + "home"),
    ("too_short", "!!"),
    ("too_short", "a."),
    ("language", "Le tribunal a rendu sa décision hier et les parties ont accepté le jugement."),
    ("language", "東京は日本の首都であり、世界でもっとも人口の多い都市の一つです。"),
    ("language", "2019 2020 2021 2022 2023 2024"),
]


@pytest.mark.parametrize(("rule", "text"), FAULTS)
def test_fault_is_rejected_by_its_rule(rule: str, text: str) -> None:
    reason, detail = judge(text)
    assert reason == f"format.{rule}"
    assert detail


GENRES = [
    "好吃",
    "太好吃了！！！！！！！！",
    "OK, thanks!",
    CHINESE,
    ENGLISH,
    "# Title\n\n```python\nfor i in range(10):\n    print(i)\n```\n\nRun it and see.\n",
    "| year | revenue |\n|------|---------|\n| 2019 | 1,234.5 |\n| 2020 | 1,300.0 |\n\nin millions",
    "General Terms of Use\n====================",
    "使用 `docker run -d -p 8080:80 nginx` 启动容器，然后打开 http://localhost:8080/ 查看结果。",
    "Checksum: " + "d41d8cd98f00b204e9800998ecf8427e" + " of the file that is in the folder.",
    "Visit https://example.org/" + "a" * 130 + " for the rest of the story. " + ENGLISH,
    "<script>alert(1)</script> A perfectly ordinary English sentence is here. " * 30,
    "Café naïve façade: she said “déjà vu” and he was not so sure about it at all.",
    "价格：¥1,299.00（含税）；电话：010-12345678。\n\n\n",
]


@pytest.mark.parametrize("text", GENRES)
def test_clean_text_of_every_genre_passes(text: str) -> None:
    assert judge(text) == (None, None)


def test_record_without_text_is_rejected_with_the_cause() -> None:
    nothing = {f"_format_{rule.name}": pa.nulls(3, pa.float64()) for rule in RULES}
    table = pa.table(
        {
            "text": pa.array([None, None, " \n"], pa.string()),
            "lang": pa.array(["und"] * 3),
            "metadata": pa.array(["{}", '{"given_text":5}', "{}"]),
            **nothing,
        }
    )
    verdict: Verdict = decide(table, FormatSettings())
    assert verdict.reason.to_pylist() == ["format.no_text"] * 3
    causes = ["text is missing", "text is not a string", "text is blank"]
    assert verdict.detail.to_pylist() == causes


def test_bounds_are_settings() -> None:
    french = "Le tribunal a rendu sa décision hier et les parties ont accepté le jugement."
    assert judge(french, FormatSettings(languages=("fr",))) == (None, None)
    assert judge("好吃", FormatSettings(min_length=10))[0] == "format.too_short"
    assert judge(holes(ENGLISH, "\x01"), FormatSettings(max_control=1))[0] is None


def test_level_names_its_parts() -> None:
    assert {rule.name for rule in RULES} <= {*FORMAT.reasons}
    assert all(rule.setting in FormatSettings.model_fields for rule in RULES)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_counts_agree_with_python(texts: list[str]) -> None:
    texts = [t.encode("utf-8", "ignore").decode() for t in texts]
    array = Texts(pa.array(texts, pa.string()), np.zeros(len(texts), np.int8))
    got = characters.count(array.data, array.offsets)
    for text, counts in zip(texts, got, strict=True):
        assert counts[characters.CHARACTERS] == len(text)
        assert counts[characters.REPLACED] == text.count("\ufffd")
        controls = [c for c in text if ord(c) < 32 and not 9 <= ord(c) <= 13]
        controls += [c for c in text if ord(c) == 127 or (128 <= ord(c) < 160 and ord(c) != 133)]
        assert counts[characters.CONTROL] == len(controls)
