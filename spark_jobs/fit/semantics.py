"""Fits level 2: sound text against the same text damaged.

    python -m headrace.spark_jobs.fit.semantics --packages DIR --data DIR [--exclude FILE …]

Three steps. n-gram weights of each family by logistic regression, sound against damaged pieces.
Then, on sources left out of the first step (four folds of sources), the mix of the families, and
the point .7: the quantile of sound text by size, every source weighing the same. Short text of a
few whole sentences, everyday ones included, has a separate point that gives up less of it: few
n-grams are weak evidence. Last, the weights once more from all sources. Lists, tables of terms and
code are left out: they are no prose, and what the level says of them is not promised.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.infra import console
from headrace.spark_jobs.fit import damage
from headrace.spark_jobs.fit.corpora import PLAIN, Passage, arguments, excluded, passages
from headrace.spark_jobs.fit.logistic import descend, quantile
from headrace.spark_jobs.kernels import fluency
from headrace.spark_jobs.levels import base
from headrace.spark_jobs.levels.l2_semantics import PIVOT
from headrace.spark_jobs.levels.semantics_model import HAN_SHARE, Fluency, features
from headrace.spark_jobs.texts import Texts

MODEL = Path(base.__file__).with_name("data") / "l2_semantics.npz"
FOLDS = 4
BELOW = 0.006
"""Share of sound text of left-out sources that shall fall below the calibrated point of a head."""
BELOW_SHORT = 0.0001
"""The same for short text: next to none of it, so a text is refused only where it looks worse than
nearly all sound short text of any left-out source."""
KNOTS = 6
"""Sizes at which the calibrated point is found; between them it is interpolated."""
SHORT = {"zh": (6, 90), "en": (20, 360)}
"""Least and most characters of short texts. The pieces that the weights are fitted on are longer,
and the fewer n-grams a text has, the farther their mean strays."""
SHORT_KNOTS = 5
HEADS = tuple(
    [how.__name__ for how in kinds] for kinds in (damage.ORDER, damage.LOSS, damage.NOISE)
)
"""Kinds of damage that a mix of the families is fitted to each: what one mix should weigh up, rare
characters say, another must not."""
_NO_PROSE = {"akshare", "cnequity", "efinance", "PyCMeKG", "simple_icd_10_cm"}
_PIECES = {"zh": 1800, "en": 700}
"""Pieces of a source: Chinese has fewer sources and more characters to learn."""
_SHORT_PIECES = 2500
_SENTENCE = {
    "zh": re.compile("[^。！？\n]+[。！？]"),
    "en": re.compile(r"[A-Z][^.!?\n]+[.!?](?=\s|$)"),
}
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """Texts to fit on, sound and damaged."""

    text: list[str]
    source: npt.NDArray[np.str_]
    kind: npt.NDArray[np.str_]
    """`sound`, `short` (sound too, to calibrate on), or the name of the damage."""

    @property
    def sound(self) -> npt.NDArray[np.bool_]:
        """(N,) which are undamaged, short ones left out."""
        return np.asarray(self.kind == "sound")


def piece(found: list[Passage], rng: random.Random) -> str:
    """Return a piece of 100 to 4,000 characters; short texts are joined most of the time."""
    passage = rng.choice(found)
    size = int(np.exp(rng.uniform(np.log(100), np.log(3000))))
    size *= 2 if passage.lang == "en" else 1
    text = passage.text
    while len(text) < size and len(found[0].text) < 400 and rng.random() < 0.7:
        text += ("" if passage.lang == "zh" else " ") + rng.choice(found).text
    if len(text) <= size:
        return text
    at = 0 if rng.random() < 0.4 else rng.randrange(len(text) - size)
    return text[at : at + size]


def short(found: list[Passage], rng: random.Random) -> list[str]:
    """Whole sentences of a source as short texts, of all sizes alike on a log scale."""
    out = []
    lang = found[0].lang
    low, high = SHORT[lang]
    plain = found[0].source in PLAIN
    for passage in rng.choices(found, k=_SHORT_PIECES):
        size = np.exp(rng.uniform(np.log(low), np.log(high)))
        if plain:  # a passage is a sentence
            sentences = [p.text for p in rng.choices(found, k=12)]
        else:
            sentences = [m.group().strip() for m in _SENTENCE[lang].finditer(passage.text[:5000])]
        at = rng.randrange(len(sentences) or 1)
        text = ""
        while at < len(sentences) and len(text) < 0.7 * size:
            text += ("" if lang == "zh" or not text else " ") + sentences[at]
            at += 1
        if low <= len(text) <= high:
            out.append(text)
    return out


def pieces(all_passages: list[Passage], seed: int) -> Pieces:
    """Sound pieces of every source and language, each with one damaged twin, a fifth repeated.

    Short sound texts come last.
    """
    rng = random.Random(seed)
    groups: dict[tuple[str, str], list[Passage]] = defaultdict(list)
    for p in all_passages:
        code = p.domain == "none" and p.source == "open_medicine"
        if p.source not in (_NO_PROSE | PLAIN.keys()) and not code and len(p.text) >= 40:
            groups[p.lang, p.source].append(p)
    text: list[str] = []
    source: list[str] = []
    kind: list[str] = []
    for (lang, name), found in sorted(groups.items()):
        for i in range(_PIECES[lang]):
            sound = piece(found, rng)
            broken = rng.choice(damage.ALL)
            made = [("sound", sound), (broken.__name__, broken(sound, rng))]
            if i % 5 == 0:
                made.append(("repeated", damage.repeated(sound, rng)))
            for what, t in made:
                text.append(t.encode("utf-8", "replace").decode())
                source.append(f"{lang} {name}")
                kind.append(what)
    for p in all_passages:
        if p.source in PLAIN:  # sentences of their own, and too short to fit weights on
            groups[p.lang, p.source].append(p)
    for (lang, name), found in sorted(groups.items()):
        for t in short(found, rng):
            text.append(t.encode("utf-8", "replace").decode())
            source.append(f"{lang} {name}")
            kind.append("short")
    return Pieces(text, np.array(source), np.array(kind))


class Ids:
    """Bucket ids of the pieces by family, to fit on and to measure any choice of them."""

    def __init__(self, text: list[str]) -> None:
        held = Texts(pa.array(text, pa.string()), np.zeros(len(text), np.int8))
        starts, ends = held.offsets[:-1], held.offsets[1:]
        indptr, ids = fluency.buckets(held.data, starts, ends)
        self.families: list[tuple[Ints, npt.NDArray[np.int32]]] = []
        for family in range(fluency.FAMILIES):
            first = fluency.START[family]
            mine = (ids >= first) & (ids < first + (1 << fluency.BITS[family]))
            before = np.concatenate([[0], np.cumsum(mine)])
            self.families.append((before[indptr], ids[mine] - np.int32(first)))
        self.found = np.stack([p[1:] - p[:-1] for p, _ in self.families], 1)
        self.repeated = fluency.measure(held.data, starts, ends, np.zeros(fluency.SIZE, np.int8))[2]

    def weights(
        self, rows: Ints, sound: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Weights (SIZE,), scale and bias (FAMILIES,) fitted on `rows`."""
        weights = np.zeros(fluency.SIZE, np.int8)
        scale, bias = np.ones(fluency.FAMILIES), np.zeros(fluency.FAMILIES)
        for family, (indptr, ids) in enumerate(self.families):
            chosen = rows[self.found[rows, family] >= 10]
            part = np.concatenate([[0], np.cumsum(self.found[chosen, family])])
            mine = np.concatenate([ids[indptr[i] : indptr[i + 1]] for i in chosen])
            target = sound[chosen].astype(np.float32)[:, None]
            buckets = 1 << fluency.BITS[family]
            w, b = descend(
                part, mine, buckets, target, np.ones_like(target),
                power=1.0, epochs=5, rate=1.0, l2=1e-4, seed=1,
            )  # fmt: skip
            scale[family] = np.quantile(np.abs(w[w != 0]), 0.9995) / 127
            first = fluency.START[family]
            whole = np.clip(np.rint(w[:, 0] / scale[family]), -127, 127)
            weights[first : first + buckets] = whole
            bias[family] = b[0]
        return weights, scale, bias

    def sums(self, rows: Ints, weights: npt.NDArray[np.int8]) -> Ints:
        """(rows, FAMILIES) sums of weights, as the kernel makes them."""
        out = np.zeros((rows.size, fluency.FAMILIES), np.int64)
        for family, (indptr, ids) in enumerate(self.families):
            run = weights[fluency.START[family] + ids].astype(np.int64)
            total = np.concatenate([[0], np.cumsum(run)])
            out[:, family] = (total[indptr[1:]] - total[indptr[:-1]])[rows]
        return out


def mixed(
    x: npt.NDArray[np.float64], sound: npt.NDArray[np.bool_], weight: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Coefficients of a logistic regression by Newton's method, slightly pulled to 0."""
    w = np.zeros(x.shape[1])
    pull = 1e-3 * weight.sum() * np.eye(x.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        slope = x.T @ (weight * (p - sound)) + pull @ w
        bend = (x * (weight * p * (1 - p) + 1e-9)[:, None]).T @ x + pull
        w -= np.linalg.solve(bend, slope)
    return w


def bound(
    margin: npt.NDArray[np.float64],
    size: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    count: int = KNOTS,
    below: float = BELOW,
) -> npt.NDArray[np.float64]:
    """(2, count) log sizes, and the `below` quantile of sound text of about that size.

    Longer text is never judged more mildly than shorter text.
    """
    edges = np.quantile(size, np.linspace(0, 1, count + 1))
    knots, points = [], []
    for low, high in pairwise(edges):
        mine = (size >= low) & (size <= high)
        knots.append(np.log(size[mine].mean()))
        points.append(quantile(margin[mine], weight[mine], below))
    return np.array([knots, np.maximum.accumulate(points)])


def joined(
    small: npt.NDArray[np.float64], large: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """One bound of those of short and of longer text: neither size nor point ever falls."""
    return np.hstack([np.minimum(small, large[:, :1]), large])


def main() -> None:
    """Fit, calibrate on left-out sources, print their figures, write the weights."""
    args = arguments(__doc__, MODEL)
    with console.Progress("read texts"):
        all_pieces = pieces(
            passages(args.packages, args.data, excluded(args.exclude), plain=True), 3
        )
    with console.Progress("hash n-grams"):
        ids = Ids(all_pieces.text)
    sound, kind, source = all_pieces.sound, all_pieces.kind, all_pieces.source
    names = sorted(set(source))
    fold = np.array([names.index(s) % FOLDS for s in source])
    brief = kind == "short"
    fitted = (kind != "repeated") & ~brief
    x = np.zeros((len(kind), 6))
    size = np.zeros(len(kind))
    with console.Progress("fit without a fold of sources", FOLDS, "folds") as progress:
        for k in range(FOLDS):
            weights, scale, bias = ids.weights(np.flatnonzero(fitted & (fold != k)), sound)
            rows = np.flatnonzero(fold == k)
            x[rows], size[rows] = features(ids.sums(rows, weights), ids.found[rows], scale, bias)
            progress.advance()
    chinese = x[:, HAN_SHARE] > 0.5
    heads, bounds, low = [], [], np.zeros(len(kind), bool)
    for kinds in HEADS:
        share = np.zeros(len(kind))  # every source weighs the same, sound as much as damaged
        for name in names:
            for side in (sound, np.isin(kind, kinds), brief):
                mine = (source == name) & side
                share[mine] = 1 / max(1, mine.sum())
        use = (share > 0) & ~brief
        mix = mixed(x[use], sound[use], share[use])
        margin = x @ mix
        sides = []
        for script in (~chinese, chinese):
            large, small = sound & script, brief & script
            sides.append(
                joined(
                    bound(margin[small], size[small], share[small], SHORT_KNOTS, BELOW_SHORT),
                    bound(margin[large], size[large], share[large]),
                )
            )
        pair = np.stack(sides)
        log_size = np.log(np.maximum(size, 1))
        point = np.where(chinese, np.interp(log_size, *pair[1]), np.interp(log_size, *pair[0]))
        low |= margin < point
        heads.append(mix)
        bounds.append(pair)
    limit = float(max(0.5, quantile(ids.repeated[sound], share[sound], 0.998)))
    low |= ids.repeated > limit
    console.say("| left-out source | sound below .7 | short below .7 | damaged below .7 |")
    console.say("|---|---|---|---|")
    for name in names:
        mine = source == name
        shown = (mine & sound, mine & brief, mine & ~sound & ~brief)
        shares = [f"{low[m].mean():.3f}" if m.any() else "–" for m in shown]
        console.say(f"| {name} | {' | '.join(shares)} |")
    console.say("| damage | zh below .7 | en below .7 |")
    console.say("|---|---|---|")
    zh = np.char.startswith(source, "zh")
    for name in sorted(set(kind)):
        shares = [f"{low[(kind == name) & side].mean():.3f}" for side in (zh, ~zh)]
        console.say(f"| {name} | {' | '.join(shares)} |")
    mix, both = np.stack(heads), np.stack(bounds)
    console.say(f"mix {mix.round(2).tolist()}, bounds {both.round(2).tolist()}, {limit=:.3f}")
    with console.Progress("fit on all sources"):
        weights, scale, bias = ids.weights(np.flatnonzero(fitted), sound)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    Fluency(weights, scale, bias, mix, both, limit).save(args.output)
    console.say(f"{args.output}: {args.output.stat().st_size:,} bytes, point {PIVOT}")


if __name__ == "__main__":
    main()
