"""Figures of language identification and of levels 1 and 3 on a folder of real text.

    HEADRACE_BENCH_DATA=DIR make bench-levels

DIR has Parquet files with the columns text and lang, named <what>_<lang>_<source>.parquet.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.spark_jobs.kernels.language import identify
from headrace.spark_jobs.levels import fact_findings, l1_format, l3_facts
from headrace.spark_jobs.texts import Texts

pytestmark = pytest.mark.bench
ROWS = 6000
"""Rows taken of each file, so that no file speaks for its language alone."""


def sets() -> list[tuple[str, str, pa.Array[Any]]]:
    """Name, language and texts of each file."""
    folder = os.environ.get("HEADRACE_BENCH_DATA")
    if not folder:
        pytest.skip("HEADRACE_BENCH_DATA names no folder")
    found = []
    for path in sorted(Path(folder).glob("*.parquet")):
        table = pq.read_table(path, columns=["text", "lang"])
        table = table.slice(0, ROWS).combine_chunks()
        found.append((path.stem, table["lang"][0].as_py(), table["text"].cast(pa.string())))
    return [(name, lang, text.combine_chunks()) for name, lang, text in found]


def speed(texts: pa.Array[Any], seconds: float) -> str:
    return f"{texts.nbytes / 1e6 / max(seconds, 1e-9):.0f} MB/s"


def test_level_language() -> None:
    right: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    identify(pa.array(["warm", "汉字"]), 1)
    for name, lang, text in sets():
        began = time.process_time()
        got, _, _ = identify(text, 1)
        took = time.process_time() - began
        hits = sum(code == lang for code in got.to_pylist())
        right[lang] += hits
        rows[lang] += len(text)
        print(f"language {name:36} {hits / len(text):.4f} of {len(text)}, {speed(text, took)}")
    for lang, n in rows.items():
        print(f"language {lang}: {right[lang] / n:.4f} of {n}")
        assert right[lang] / n >= 0.97


def test_level_1_rejects_of_clean_text() -> None:
    bounds = l1_format.FormatSettings()
    for name, _, text in sets():
        lang, _, codes = identify(text, 1)
        began = time.process_time()
        scores = l1_format.score(Texts(text, codes), bounds)
        took = time.process_time() - began
        table = pa.table({"text": text, "lang": lang, **scores})
        reasons = Counter(filter(None, l1_format.decide(table, bounds).reason.to_pylist()))
        share = sum(reasons.values()) / len(text)
        print(f"format {name:36} rejected {share:.4f} {dict(reasons)} {speed(text, took)}")


WEEKDAYS = ("Mon", "Tues", "Wednes", "Thurs", "Fri", "Satur", "Sun", *"一二三四五六日")
SHORT = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _slip(rule: str, says: str) -> str:
    """A statement with the slip of its kind: another weekday, two numbers in each other's place, or
    another first digit in its last number (years excepted)."""
    if rule == "weekday":
        names = next((n for n in (WEEKDAYS[:7], SHORT) if any(d in says for d in n)), None)
        if names:
            day = next(d for d in names if d in says)
            return says.replace(day, names[(names.index(day) + 2) % 7])
        return re.sub(
            "(?<=[期周拜])[一二三四五六日]",
            lambda m: WEEKDAYS[7 + (WEEKDAYS.index(m[0]) - 5) % 7],
            says,
        )
    numbers = list(re.finditer(r"\d+(?:[,.]\d+)*", says))
    years = [m for m in numbers if re.fullmatch(r"1\d{3}|20\d\d", m[0])]
    amounts = [m for m in numbers if m not in years]
    if rule in ("direction", "chronology"):
        kind = years if rule == "chronology" else amounts
        if len(kind) < 2:
            return says
        a, b = kind[0], kind[-1]
        return says[: a.start()] + b[0] + says[a.end() : b.start()] + a[0] + says[b.end() :]
    if not amounts:
        return says
    at = amounts[-1].start()
    return says[:at] + str(1 + (int(says[at]) + 3) % 9) + says[at + 1 :]


def test_level_3_coverage_precision_and_recall() -> None:
    verdicts: dict[str, Counter[str]] = defaultdict(Counter)
    seeded: dict[str, list[bool]] = defaultdict(list)
    bounds = l3_facts.FactsSettings()
    for name, lang, text in sets():
        texts = Texts(text, np.zeros(len(text), np.int8))
        began = time.process_time()
        scores = l3_facts.score(texts, bounds)
        took = time.process_time() - began
        here = Counter(scores["fact_verdict"].to_pylist())
        verdicts[lang] += here
        print(f"facts {name:36} {dict(here)} {speed(text, took)}")
        for detail in scores["_fact_detail"].drop_null().to_pylist():
            print(f"    {detail}")
        for _, number, window, finding in fact_findings.findings(texts):
            wrong = _slip(fact_findings.RULES[number].name, finding.says)
            if finding.supported and finding.says in window and wrong != finding.says:
                again = fact_findings.RULES[number].check(window.replace(finding.says, wrong))
                seeded[fact_findings.RULES[number].name].append(any(not f.supported for f in again))
    for lang, counts in verdicts.items():
        n = counts.total()
        print(
            f"facts {lang}: {n} documents, checked {1 - counts['unverified'] / n:.4f},"
            f" refuted {counts['refuted'] / n:.5f}"
        )
        assert counts["refuted"] / n <= 0.003
    for rule, caught in seeded.items():
        print(f"facts {rule}: {np.mean(caught):.2f} of {len(caught)} seeded slips refuted")
    print(f"facts all: {np.mean([c for cs in seeded.values() for c in cs]):.2f}")


FALSE = {
    "zh": (
        "该工程于2021年4月31日竣工。",
        "会议定于2022年5月10日（星期五）举行。",
        "巴西的首都是圣保罗。",
        "因此 14 + 27 = 43。",
        "截至11月31日，报名人数已满。",
    ),
    "en": (
        "The bridge was opened on 31 April 2015.",
        "The hearing took place on Friday, May 10, 2022.",
        "The capital of Turkey is Istanbul. The town has a port.",
        "So the bill came to 14 + 27 = 43 in all.",
        "Brazil's capital is Rio de Janeiro.",
    ),
}
SENTENCES = {"zh": "(?<=[。！？])", "en": r"(?<=[.!?])\s"}


def test_level_3_refutes_statements_in_text_of_any_kind() -> None:
    """A false statement at a random place of 80 texts of each source."""
    chance = random.Random(5)
    caught: Counter[bool] = Counter()
    for name, lang, text in sets():
        fit = [t for t in text.to_pylist() if t and 200 < len(t) < 4500]
        made = []
        for some in chance.sample(fit, min(80, len(fit))):
            parts = re.split(SENTENCES[lang], some)
            at = chance.randrange(len(parts) + 1)
            parts.insert(at, chance.choice(FALSE[lang]))
            made.append(("" if lang == "zh" else " ").join(parts))
        if not made:
            continue
        found = l3_facts.score(
            Texts(pa.array(made), np.zeros(len(made), np.int8)), l3_facts.FactsSettings()
        )
        here = Counter(v == "refuted" for v in found["fact_verdict"].to_pylist())
        caught += here
        print(f"facts {name:36} {here[True]} of {len(made)} false statements refuted")
    print(f"facts statements: {caught[True] / caught.total():.3f} of {caught.total()} refuted")
    assert caught[True] / caught.total() >= 0.9
