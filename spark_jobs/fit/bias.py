"""Fits level 4's weights: hostile sentences against clean ones, with the groups masked.

    python -m headrace.spark_jobs.fit.bias --data DIR --packages DIR [--exclude FILE …]
    python -m headrace.spark_jobs.fit.bias … --by-source

DIR of data holds the labelled sets of `LABELLED`; packages and clean sets are read as
`headrace.spark_jobs.fit.corpora` says. A logistic model over hashed n-grams whose features are
scaled by their naive-Bayes log-count ratio (Wang and Manning, 2012, "Baselines and Bigrams":
NB-SVM), which a few thousand hostile sentences need. It has three outputs: `zh` and `en` tell
hostile comments from others of the same sets; `foul` tells hostile comments from

- clean sentences of every source, many of which name a group or speak of hostility;
- everyday sentences of a dictionary and a language course, and comments that are not hostile:
  otherwise short plain text passes for a comment, and so for hostile;
- labelled hostile comments inside a frame that reports, punishes or rejects them;
- statements about groups, rights and hostility, and bare lists of groups.

`zh` and `en` see clean sentences that name a group too, with a small weight: among comments the
hostile ones name groups more often, and the name of a group must not be what tells them.

Words that are an insult among comments are plain ones elsewhere (恶心 of a side effect, 垃圾 of
waste). So the model is fitted twice: clean sentences that the first fit takes for hostile get more
weight in the second (hard negatives).

One output for both costs AUC in English (0.84 against 0.86): telling tweets from statutes is so
easy that little weight is left for what is hard.

The figures that are printed are of a twin that was not fitted on `HELD_OUT` of each labelled set;
the weights that are written are fitted on all of it. `--by-source` prints what models say of
sources that they have not seen, and writes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import random
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.infra.lineage import is_heldout
from headrace.spark_jobs.fit.corpora import PLAIN, content_key, excluded, passages
from headrace.spark_jobs.kernels.groups import PLACEHOLDER, sentences
from headrace.spark_jobs.kernels.linear import LinearModel, NGrams, buckets
from headrace.spark_jobs.levels.bias_density import DATA, document_scores, lexicon
from headrace.spark_jobs.texts import EN, ZH, Texts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

log = logging.getLogger(__name__)

Output = tuple[npt.NDArray[np.float64], float]
"""(buckets,) weights of an output, and its bias."""

LABELLED = {
    "bias_zh_cold": "Apache-2.0",
    "bias_en_tweets": "MIT",
    "bias_en_forum": "CC BY-SA 3.0",
}
"""Parquet files with the columns text, label (1 hostile to a group or offensive) and lang."""
HELD_OUT = 0.15
"""Share of each labelled set that the twin is not fitted on."""
NGRAMS = NGrams(words=(1, 2), chars=(5,), bits=19)
POWER = 0.5
SMOOTHING = 1.0
INVERSE_L2 = 10.0
CLASS_WEIGHT = {"bias_zh_cold": 3000.0, "bias_en_tweets": 1000.0, "bias_en_forum": 1000.0}
"""Sum of the weights of each label of a set."""
CLEAN_WEIGHT = 9000.0
PLAIN_WEIGHT = 3000.0
FRAME_WEIGHT = 1500.0
UNHOSTILE_SHARE = 0.3
"""Weight in `foul` of comments that are not hostile, against their weight in `zh` and `en`."""
NAMING_SHARE = 0.3
"""Weight in `zh` and `en` of clean sentences that name a group, against that of the comments that
are not hostile."""
HARD = 0.3
"""Probability of hostility by a first fit from which on a clean sentence is a hard one."""
HARD_SHARE = 0.2
"""Weight in `zh` and `en` that hard sentences get besides, against that of the comments that are
not hostile."""
HARD_WEIGHT = 500.0
"""Weight in `foul` that the hard sentences of each language get besides."""
CLEAN_EACH = 2500
"""Sentences of each kind, clean source and language."""
_LEAST_BYTES = {False: 33, True: 13}
"""Bytes of the shortest sentence that is taken of a clean and of a plain source."""
_ABOUT = re.compile(
    "歧视|压迫|侮辱|仇恨|偏见|平等|种族|虐待|暴力|骚扰"
    "|discriminat|racis|sexis|prejudic|stereotyp|equal|hate|hatred|harass|abus|violen|slave",
    re.I,
)
"""Words of clean text about hostility: statutes on equality, news on racism, medicine on abuse."""
OFFSET = {"zh": -0.8, "en": 0.2, "foul": 1.6}
"""Added to the margins: those of `zh` and `en` set where 0.3 lies, that of `foul` keeps it a gate
and leaves the order of comments to the other two. Chosen on held-out comments and on sources that
were not fitted, see docs."""

FRAMES = {
    "en": (
        'The court fined him for writing "{}" on the wall.',
        'She said comments such as "{}" are racist and must not be tolerated.',
        'The report quotes posts like "{}" as examples of hate speech.',
        'Stop saying "{}". It is a hateful stereotype and it is not true.',
        'The study found that users who wrote "{}" were suspended for discrimination.',
        'The minister condemned the statement "{}" and apologised to the community.',
    ),
    "zh": (
        "法院认定其发布的“{}”构成侮辱，判决赔礼道歉。",
        "“{}”这种言论是歧视，我们坚决反对。",
        "报道称，网上出现“{}”之类的仇恨言论，平台已经删除。",
        "研究者把“{}”标注为歧视性言论的例子。",
        "请不要再说“{}”了，这是偏见，不是事实。",
        "发言人谴责了“{}”的说法，呼吁互相尊重。",
    ),
}
"""Reports and counter-speech around a hostile comment. Written for headrace."""


ABOUT = (
    "国家保障各{}的合法权利和利益，{}禁止对任何{}的歧视和压迫。",
    "{}规定，任何单位和个人不得歧视{}。",
    "{}和{}在就业、教育和医疗方面享有平等的权利，{}予以保护。",
    "用人单位招用人员，不得以性别、{}身份为由歧视{}。",
    "{}呼吁消除一切形式的种族歧视，保护{}的权益。",
    "{}表示，针对{}的仇恨犯罪今年有所上升，警方正在调查。",
    "{}报道，一名{}在街头遭到种族主义者辱骂和殴打，嫌疑人已被逮捕。",
    "联合国报告指出，{}在住房和就业方面仍然面临歧视，{}应当采取措施。",
    "{}通过法案，对侮辱、诽谤{}的行为处以罚款。",
    "历史上，{}曾经遭受奴役和迫害，{}的权利直到上世纪才得到承认。",
    "侵害{}合法权益的，{}可以向人民法院提起诉讼。",
    "{}为{}提供法律援助，帮助他们反抗性骚扰和家庭暴力。",
    "研究发现，{}对{}的刻板印象会影响招聘决定。",
    "研究比较了{}和{}的发病率，{}患糖尿病、癌症的风险较高。",
    "这部电影讲述了一名{}在充满偏见的社会中成长的故事，{}很受感动。",
    "学校教育学生尊重{}，反对欺凌和偏见，{}一律平等。",
    "The law prohibits discrimination against {} and {} in housing and employment.",
    "Police said that hate crimes against {} rose last year, and {} asked for protection.",
    "{} were enslaved and persecuted for centuries before {} gained equal rights.",
    "A study found that stereotypes about {} affect how {} are treated by doctors.",
    "{} have a higher risk of diabetes, cancer and heart disease than {}.",
    "Campaigners called on the government to protect {} from violence, abuse and harassment.",
    "The novel follows {} who face prejudice and racism in a small town.",
    "The court ruled that the company had discriminated against {} because of their race.",
    "{} and {} are entitled to the same treatment regardless of sex, race or religion.",
    "A man was jailed for shouting racist abuse at {} on a train, the BBC reported.",
    "The senator said that {} pay taxes and that illegal immigration of {} has fallen.",
    "The share of {} in prison is larger than that of {}, according to official figures.",
)
"""Sentences about groups, rights and hostility; {} is a group or an office. Written for headrace."""


@dataclass(frozen=True)
class Comment:
    """A labelled comment."""

    text: str
    lang: str
    label: int
    source: str
    heldout: bool
    topic: str = ""


def normal(text: str) -> str:
    """Letters and digits of a text, lower case: how excluded comments are known."""
    return re.sub(r"\W+", "", unicodedata.normalize("NFKC", text).lower())


def comments(data: Path, exclude: frozenset[str]) -> list[Comment]:
    """Return the labelled comments but those that a release would hold out or `exclude` names."""
    out = []
    for source in LABELLED:
        for r in pq.read_table(data / f"{source}.parquet").to_pylist():
            key = content_key(r["text"])
            if is_heldout(key) or key in exclude or normal(r["text"]) in exclude:
                continue
            draw = hashlib.blake2b(normal(r["text"]).encode(), digest_size=8).digest()
            held = int.from_bytes(draw) < HELD_OUT * 2**64
            topic = r.get("topic") or ""
            out.append(Comment(r["text"], r["lang"], int(r["label"]), source, held, topic))
    return out


def masked(texts: list[str]) -> list[str]:
    """Each text with its groups masked, whole."""
    held = Texts(pa.array(texts, pa.string()), np.zeros(len(texts), np.int8))
    s = sentences(held.data, held.offsets, lexicon())
    raw = s.data.tobytes()
    first = np.searchsorted(s.owner, np.arange(len(texts)))
    last = np.searchsorted(s.owner, np.arange(len(texts)), "right") - 1
    return [
        raw[s.starts[a] : s.ends[b]].decode() if a <= b else ""
        for a, b in zip(first, last, strict=True)
    ]


@dataclass(frozen=True)
class Example:
    """A masked text to fit on that is not a comment."""

    text: str
    source: str
    """Of a clean source: its name; else `frame`, `statement` or `list`."""
    lang: str = ""
    naming: bool = False
    """Whether it is a clean sentence that names a group."""
    comment: Comment | None = None
    """The hostile comment inside a frame."""


def clean_sentences(texts: list[tuple[str, str, str]], seed: int) -> list[Example]:
    """Up to 3 * CLEAN_EACH masked sentences of each (source, language) of (source, lang, text)."""
    cells: dict[tuple[str, str], list[str]] = {}
    for source, lang, text in texts:
        cells.setdefault((source, lang), []).append(text[:3000])
    rng = random.Random(seed)
    out = []
    for (source, lang), found in sorted(cells.items()):
        some = rng.sample(found, min(len(found), 6 * CLEAN_EACH))
        held = Texts(pa.array(some, pa.string()), np.zeros(len(some), np.int8))
        s = sentences(held.data, held.offsets, lexicon())
        raw = s.data.tobytes()
        cut = [raw[a:b].decode() for a, b in zip(s.starts, s.ends, strict=True)]
        long = s.ends - s.starts >= _LEAST_BYTES[source in PLAIN]
        about = np.array([bool(_ABOUT.search(x)) for x in cut])
        naming = (s.groups > 0) & ~about
        # Two kinds of three are the hard ones: they name a group, or speak of hostility.
        for kind in (naming, (s.groups == 0) & ~about, about):
            rows = np.flatnonzero(kind & long).tolist()
            out += [
                Example(cut[i], source, lang, bool(naming[i]))
                for i in rng.sample(rows, min(len(rows), CLEAN_EACH))
            ]
    return out


def framed(found: list[Comment], seed: int) -> list[Example]:
    """Hostile comments inside frames, masked."""
    rng = random.Random(seed)
    inside, texts = [], []
    for lang, frames in FRAMES.items():
        hostile = [c for c in found if c.label and c.lang == lang]
        for comment in rng.sample(hostile, min(len(hostile), 1500)):
            inside.append(comment)
            texts.append(rng.choice(frames).format(comment.text))
    return [
        Example(text, "frame", comment=c) for text, c in zip(masked(texts), inside, strict=True)
    ]


def group_lists() -> list[str]:
    """Write lists of groups with nothing else in them."""
    p = PLACEHOLDER
    lists = (
        p,
        f"{p}。",
        f"{p}、{p}、{p}。",
        f"{p}和{p}",
        f"{p}, {p} and {p}.",
        f"the {p}",
        f"{p} or {p}",
    )
    return [x for x in lists for _ in range(20)]


def statements(seed: int) -> list[str]:
    """ABOUT with groups and other subjects in the gaps, masked."""
    rng = random.Random(seed)
    subjects = {
        "zh": ("", "我们", "政府", "委员会", "本法", "有关部门", "学者"),
        "en": ("", "the press"),
    }
    out = []
    for line in ABOUT:
        words = subjects["en" if line.isascii() else "zh"]
        for _ in range(40):
            gaps = [PLACEHOLDER if rng.random() < 0.6 else rng.choice(words) for _ in range(3)]
            cut = [x for x in re.split("(?<=[，,。])", line.format(*gaps)) if x.strip()]
            out.append("".join(cut if rng.random() < 0.5 else rng.sample(cut, 1)))
    return out


def features(texts: list[str]) -> csr_matrix:
    """(N, buckets) sparse counts / count^POWER."""
    from scipy.sparse import csr_matrix

    held = Texts(pa.array(texts, pa.string()), np.zeros(len(texts), np.int8))
    indptr, ids = buckets(NGRAMS, held.data, held.offsets[:-1], held.offsets[1:])
    n = np.diff(indptr)
    values = np.repeat(1 / np.maximum(n, 1) ** POWER, n)
    x = csr_matrix((values, ids, indptr), shape=(len(texts), 1 << NGRAMS.bits))
    x.sum_duplicates()
    return x


def fit(x: csr_matrix, labels: npt.NDArray[np.int8], weight: npt.NDArray[np.float64]) -> Output:
    """Fit an NB-scaled logistic model to the rows with a weight."""
    from scipy.sparse import diags
    from sklearn.linear_model import LogisticRegression

    rows = np.flatnonzero(weight)
    x, labels, weight = x[rows], labels[rows], weight[rows]
    seen = (x > 0).astype(np.float64)
    counts = [np.asarray(seen.T @ (weight * (labels == k))) for k in (0, 1)]
    # Each class as a distribution, so that the many clean sentences don't outvote the hostile.
    size = [float((weight * (labels == k)).sum()) for k in (0, 1)]
    ratio = np.abs(np.log((SMOOTHING + counts[1]) / (SMOOTHING + counts[0] * size[1] / size[0])))
    model = LogisticRegression(C=INVERSE_L2, solver="liblinear", random_state=0, max_iter=200)
    model.fit(x @ diags(ratio), labels, weight)
    return model.coef_[0] * ratio, float(model.intercept_[0])


@dataclass(frozen=True)
class Material:
    """Everything that a model is fitted on: comments first, then examples."""

    comments: list[Comment]
    examples: list[Example]
    x: csr_matrix = field(repr=False)
    """(N, buckets) sparse features."""

    @classmethod
    def gather(cls, data: Path, packages: Path, exclude: frozenset[str], seed: int) -> Material:
        """All that is found in the two folders."""
        found = comments(data, exclude)
        sources = [
            (p.source, p.lang, p.text)
            for p in passages(packages, data, exclude, plain=True)
            if p.source not in (*LABELLED, "preference_en_hhrlhf")
        ]
        examples = [
            *clean_sentences(sources, seed),
            *framed(found, seed),
            *(Example(text, "statement") for text in statements(seed)),
            *(Example(text, "list") for text in group_lists()),
        ]
        x = features(masked([c.text for c in found]) + [e.text for e in examples])
        log.info("%d comments, %d examples", len(found), len(examples))
        return cls(found, examples, x)

    def train(
        self, wanted: Callable[[Comment], bool], without: frozenset[str] = frozenset()
    ) -> LinearModel:
        """Fit the model of the wanted comments and of the clean sources but those of `without`."""
        use = np.array([wanted(c) for c in self.comments])
        label = np.array([c.label for c in self.comments])
        of = np.array([c.source for c in self.comments])
        lang = np.array([c.lang for c in self.comments])
        keep = np.array(
            [
                e.source not in without and (not e.comment or wanted(e.comment))
                for e in self.examples
            ]
        )
        source = np.array([e.source for e in self.examples])
        spoken = np.array([e.lang for e in self.examples])
        naming = np.array([e.naming for e in self.examples])
        comment = np.zeros(len(use))
        for name, total in CLASS_WEIGHT.items():
            for k in (0, 1):
                share(comment, use & (of == name) & (label == k), total)
        example = np.zeros(len(keep))
        made = np.isin(source, ("frame", "statement", "list"))
        plain = np.isin(source, list(PLAIN))
        share(example, keep & ~made & ~plain, CLEAN_WEIGHT)
        for name in PLAIN:
            share(example, keep & (source == name), PLAIN_WEIGHT / len(PLAIN))
        share(example, keep & (source == "frame"), FRAME_WEIGHT)
        share(example, keep & (source == "statement"), FRAME_WEIGHT)
        example[source == "list"] = 1.0
        labels = np.concatenate([label, np.zeros(len(keep))]).astype(np.int8)

        def fitted(hard: npt.NDArray[np.bool_]) -> dict[str, Output]:
            """Return the outputs, with the examples that are `hard` weighing more."""
            out = {}
            for name in ("zh", "en"):
                mine = np.where(lang == name, comment, 0.0)
                others = np.zeros(len(keep))
                total = float(mine[label == 0].sum())
                rows = keep & naming & (spoken == name)
                # Every source the same, so that none of them is what tells clean from hostile.
                each = sorted(set(source[rows]))
                for one in each:
                    share(others, rows & (source == one), NAMING_SHARE * total / len(each))
                add(others, hard & (spoken == name), HARD_SHARE * total)
                out[name] = fit(self.x, labels, np.concatenate([mine, others]))
            mine = np.where(label == 0, UNHOSTILE_SHARE, 1.0) * comment
            others = example.copy()
            for name in ("zh", "en"):
                add(others, hard & (spoken == name), HARD_WEIGHT)
            out["foul"] = fit(self.x, labels, np.concatenate([mine, others]))
            return out

        first = fitted(np.zeros(len(keep), bool))
        x = self.x[len(use) :]
        p = {k: 1 / (1 + np.exp(-(x @ w + b + OFFSET[k]))) for k, (w, b) in first.items()}
        low = np.minimum(np.where(spoken == "zh", p["zh"], p["en"]), p["foul"])
        return quantised(fitted(keep & ~made & (low > HARD)))


def share(weight: npt.NDArray[np.float64], rows: npt.NDArray[np.bool_], total: float) -> None:
    """Give `rows` of `weight` the sum `total`, each the same."""
    weight[rows] = total / max(1, rows.sum())


def add(weight: npt.NDArray[np.float64], rows: npt.NDArray[np.bool_], total: float) -> None:
    """Add `total` to the sum of `rows` of `weight`, each the same."""
    weight[rows] += total / max(1, rows.sum())


def quantised(fitted: dict[str, Output]) -> LinearModel:
    """Return the outputs together, with 8-bit weights."""
    w = np.stack([f[0] for f in fitted.values()], 1)
    scale = np.abs(w).max(0) / 127  # the largest weights are what tells: none is cut
    return LinearModel(
        NGRAMS,
        tuple(fitted),
        np.clip(np.rint(w / scale), -127, 127).astype(np.int8),
        scale.astype(np.float32),
        np.array([f[1] + OFFSET[k] for k, f in fitted.items()], np.float32),
        POWER,
    )


def scored(model: LinearModel, texts: list[str], lang: str) -> npt.NDArray[np.float64]:
    """(N,) the level's scores of texts of one language with `model`."""
    codes = np.full(len(texts), ZH if lang == "zh" else EN, np.int8)
    return document_scores(Texts(pa.array(texts, pa.string()), codes), model)


def auc(model: LinearModel, found: list[Comment]) -> float:
    """How well the level's scores with `model` rank comments of one language."""
    from sklearn.metrics import roc_auc_score

    value = scored(model, [c.text for c in found], found[0].lang)
    return float(roc_auc_score([c.label for c in found], value))


def figures(model: LinearModel, found: list[Comment]) -> None:
    """Say how well `model` ranks comments, and how many it would reject."""
    for source in LABELLED:
        mine = [c for c in found if c.source == source]
        hostile = [c.text for c in mine if c.label]
        rng = random.Random(17)
        twelve = ["\n".join(rng.sample(hostile, min(12, len(hostile)))) for _ in range(200)]
        above = [
            100 * float((scored(model, texts, mine[0].lang) > 0.3).mean())
            for texts in (hostile, [c.text for c in mine if not c.label], twelve)
        ]
        log.info(
            "held out of %s: AUC %.3f of %d comments; above 0.3: hostile %.0f %%, others %.0f %%, "
            "twelve hostile %.1f %%",
            source, auc(model, mine), len(mine), *above,
        )  # fmt: skip


def _is_from(source: str, comment: Comment) -> bool:
    return comment.source == source


def _is_about(topic: str, comment: Comment) -> bool:
    return comment.topic == topic


def by_source(material: Material, packages: Path, exclude: frozenset[str]) -> None:
    """Say what models make of sources that they have not seen."""
    log.info("| left out | comments | AUC |\n|---|---|---|")
    left_out: list[tuple[str, Callable[[Comment], bool]]] = [
        (source, partial(_is_from, source)) for source in LABELLED if source.startswith("bias_en")
    ]
    topics = sorted({c.topic for c in material.comments if c.topic})
    left_out += [(f"topic {t}", partial(_is_about, t)) for t in topics]
    for name, out in left_out:
        unseen = [c for c in material.comments if out(c)]
        kept = set(material.comments) - set(unseen)
        log.info(
            "| %s | %d | %.3f |", name, len(unseen), auc(material.train(kept.__contains__), unseen)
        )
    log.info("| sentences that name a group | sentences | above 0.3, % | 99 % below |")
    log.info("|---|---|---|---|")
    model = material.train(lambda c: True, frozenset(PLAIN))
    told = passages(packages, None, exclude, plain=True)
    for source in PLAIN:
        for lang in ("en", "zh"):
            texts = [p.text for p in told if (p.source, p.lang) == (source, lang)]
            some = [t for t, m in zip(texts, masked(texts), strict=True) if PLACEHOLDER in m]
            if some:
                value = scored(model, some, lang)
                above = 100 * (value > 0.3).mean()
                high = np.quantile(value, 0.99)
                log.info("| %s, %s | %d | %.2f | %.2f |", source, lang, len(some), above, high)


def main() -> None:
    """Print figures of a model fitted without the held-out comments; write one fitted on all."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--exclude", type=Path, nargs="*", default=[])
    parser.add_argument("--output", type=Path, default=DATA / "l4_bias.npz")
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--by-source", action="store_true")
    args = parser.parse_args()
    ban = set(excluded(args.exclude))
    for file in args.exclude:
        lines = file.read_text(encoding="utf-8").splitlines()
        ban |= {normal(json.loads(line)["text"]) for line in lines}
    exclude = frozenset(ban - {""})
    material = Material.gather(args.data, args.packages, exclude, args.seed)
    if args.by_source:
        by_source(material, args.packages, exclude)
        return
    twin = material.train(lambda c: not c.heldout)
    figures(twin, [c for c in material.comments if c.heldout])
    material.train(lambda c: True).save(args.output)


if __name__ == "__main__":
    main()
