"""Figures of levels 2 and 5 on a folder of real text, as Markdown tables.

    HEADRACE_BENCH_DATA=DIR make bench-levels

DIR has Parquet files with the columns text, lang and domain. Files with an open licence among them
served to fit the levels (data/*.md names them): their rows say how well the levels fit, the others
how well they generalise.
"""

import os
import random
import re
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.spark_jobs.fit import damage
from headrace.spark_jobs.fit.corpora import SETS
from headrace.spark_jobs.levels.l2_semantics import SEMANTICS, SemanticsSettings
from headrace.spark_jobs.levels.l5_domain import DOMAIN, DOMAINS, DomainSettings
from headrace.spark_jobs.texts import Texts

pytestmark = pytest.mark.bench
ROWS = 600
KINDS = (*damage.ORDER, *damage.LOSS, *damage.NOISE, damage.repeated)
SHORT = {"12 or 48": 12, "18 or 72": 18, "25 or 100": 25, "50 or 200": 50, "90 or 360": 90}
"""Characters of short text, Chinese and English, give or take a fifth."""
Floats = npt.NDArray[np.float32]


def sets() -> list[tuple[str, str, str, list[str]]]:
    """(file, language, domain, texts) of every file, at most ROWS texts of each, drawn."""
    folder = os.environ.get("HEADRACE_BENCH_DATA")
    if not folder:
        pytest.skip("HEADRACE_BENCH_DATA names no folder")
    out = []
    for path in sorted(Path(folder).glob("*.parquet")):
        rows = pq.read_table(path, columns=["text", "lang", "domain"]).to_pylist()
        random.Random(5).shuffle(rows)
        texts = [r["text"] for r in rows if r["text"]][:ROWS]
        out.append((path.stem, rows[0]["lang"], rows[0]["domain"], texts))
    return out


def held(texts: list[str]) -> Texts:
    return Texts(pa.array(texts, pa.string()), np.zeros(len(texts), np.int8))


def semantic(texts: list[str]) -> Floats:
    clean = [t.encode("utf-8", "replace").decode() for t in texts]
    score = SEMANTICS.score(held(clean), SemanticsSettings())["semantic_score"]
    return score.to_numpy(zero_copy_only=False)


def auc(above: Floats, below: Floats) -> float:
    """How often a score of the first kind stands above one of the second."""
    both = np.concatenate([above, below])
    rank = np.empty(len(both))
    rank[np.argsort(both, kind="stable")] = np.arange(len(both))
    n, m = len(above), len(below)
    return float((rank[:n].sum() - n * (n - 1) / 2) / (n * m))


def fitted(name: str) -> str:
    return "yes" if name in SETS else "no"


def test_level_2_on_sound_and_damaged_text() -> None:
    sound: dict[str, list[str]] = defaultdict(list)
    print("\n| lang | set | fitted on | texts of 100 characters or more | below .7 | MB/s |")
    print("|---|---|---|---|---|---|")
    for name, lang, _, texts in sets():
        texts = [t for t in texts if len(t) >= 100]
        if not texts:
            continue
        batch = held(texts)
        SEMANTICS.score(held(["warm"]), SemanticsSettings())
        began = time.process_time()
        SEMANTICS.score(batch, SemanticsSettings())
        speed = batch.data.size / 1e6 / (time.process_time() - began)
        low = (semantic(texts) < 0.7).mean()
        print(f"| {lang} | {name} | {fitted(name)} | {len(texts)} | {low:.3f} | {speed:.0f} |")
        sound[lang] += [t for t in texts if len(t) >= 400][:60]
    print("\n| lang | damage | AUC | below .7 |\n|---|---|---|---|")
    for lang, texts in sorted(sound.items()):
        clean = semantic(texts)
        print(f"| {lang} | none ({len(texts)} texts) | | {(clean < 0.7).mean():.3f} |")
        for how in (*KINDS, damage.sentences_shuffled):
            rng = random.Random(6)
            score = semantic([how(t, rng) for t in texts])
            low = (score < 0.7).mean()
            print(f"| {lang} | {how.__name__} | {auc(clean, score):.3f} | {low:.3f} |")
        assert (clean < 0.7).mean() <= 0.03


def short_pieces(lang: str, texts: list[str]) -> dict[str, list[str]]:
    """Whole sentences as short texts, by label of `SHORT`; sizes of which there are few, empty."""
    rng, stop = random.Random(7), r"(?<=[。！？])" if lang == "zh" else r"(?<=[.!?])\s+"
    found: dict[str, list[str]] = {label: [] for label in SHORT}
    for text in texts:
        parts = [x.strip() for x in re.split(f"{stop}|\n", text) if x.strip()]
        for label, size in SHORT.items():
            size *= 1 if lang == "zh" else 4
            piece, at = "", rng.randrange(len(parts) or 1)
            while at < len(parts) and len(piece) < 0.8 * size:
                piece += ("" if lang == "zh" else " ") + parts[at]
                at += 1
            if 0.8 * size <= len(piece) <= 1.2 * size:
                found[label].append(piece.strip())
    return {label: t if len(t) >= 60 else [] for label, t in found.items()}


def test_level_2_on_short_text() -> None:
    """Share of sound text below .7 (texts) by length, and of the same text shuffled."""
    print(f"\n| lang | set | fitted on | {' | '.join(SHORT)} |\n|---|---|---|{'---|' * len(SHORT)}")
    every: dict[str, dict[str, list[str]]] = {}
    for name, lang, _, texts in sets():
        found = short_pieces(lang, texts)
        shown = [
            f"{(semantic(t) < 0.7).mean():.3f} ({len(t)})" if t else "–" for t in found.values()
        ]
        if any(found.values()):
            print(f"| {lang} | {name} | {fitted(name)} | {' | '.join(shown)} |")
        for label, short in found.items():
            every.setdefault(lang, defaultdict(list))[label] += short
    print(f"\n| lang | short text | {' | '.join(SHORT)} |\n|---|---|{'---|' * len(SHORT)}")
    for lang, by_size in sorted(every.items()):
        for label, change in (("sound", str), ("shuffled", shuffled)):
            low = [(semantic([change(t) for t in by_size[n]]) < 0.7).mean() for n in SHORT]
            print(f"| {lang} | {label} | {' | '.join(f'{v:.3f}' for v in low)} |")


def shuffled(text: str) -> str:
    """The words, or Chinese characters, of a text in random order."""
    rng = random.Random(len(text))
    words = text.split() if text.count(" ") > len(text) / 12 else list(text)
    return (" " if " " in text else "").join(rng.sample(words, len(words)))


def test_level_5_on_short_text() -> None:
    """Share of short text that reaches no domain (texts), by length."""
    print(f"\n| lang | set | fitted on | {' | '.join(SHORT)} |\n|---|---|---|{'---|' * len(SHORT)}")
    for name, lang, _, texts in sets():
        shown = []
        for short in short_pieces(lang, texts).values():
            score = DOMAIN.score(held(short), DomainSettings())["domain_score"] if short else None
            none = f"{(np.array(score) < 0.5).mean():.3f} ({len(short)})" if short else "–"
            shown.append(none)
        if set(shown) != {"–"}:
            print(f"| {lang} | {name} | {fitted(name)} | {' | '.join(shown)} |")


def test_level_5_on_sources() -> None:
    chosen = DomainSettings()
    seen: dict[str, list[tuple[str, str]]] = defaultdict(list)
    print(f"\n| lang | domain | set | fitted on | texts | {' | '.join(DOMAINS)} | none |")
    print("|---" * (6 + len(DOMAINS)) + "|")
    for name, lang, domain, texts in sets():
        texts = [t for t in texts if len(t) >= 60]
        if not texts:
            continue
        columns = DOMAIN.score(held(texts), chosen)
        best = columns["domain"].to_pylist()
        kept = np.array(columns["domain_score"]) >= 0.5
        shares = [np.mean([b == d for b in best]) for d in DOMAINS]
        row = " | ".join(f"{s:.3f}" for s in shares)
        text = f"{fitted(name)} | {len(texts)} | {row} | {1 - kept.mean():.3f} |"
        print(f"| {lang} | {domain} | {name} | {text}")
        if name.startswith(DOMAINS) or name.startswith("wiki"):
            seen[lang] += [(domain, b) for b in best[:500]]
    print("\n| lang | macro-F1 |" + "".join(f" {d} |" for d in DOMAINS))
    print("|---" * (2 + len(DOMAINS)) + "|")
    for lang, pairs in sorted(seen.items()):
        scores = []
        for d in DOMAINS:
            hit = sum(a == d == b for a, b in pairs)
            wrong = sum((a == d) != (b == d) for a, b in pairs)
            scores.append(2 * hit / max(1, 2 * hit + wrong))
        print(f"| {lang} | {np.mean(scores):.3f} |" + "".join(f" {s:.3f} |" for s in scores))
        assert np.mean(scores) >= 0.85
