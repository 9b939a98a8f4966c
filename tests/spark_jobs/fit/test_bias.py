"""The fit of level 4 on a handful of made-up comments."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.infra.lineage import is_heldout
from headrace.spark_jobs.fit import bias
from headrace.spark_jobs.fit.corpora import content_key
from headrace.spark_jobs.kernels.groups import PLACEHOLDER


def write(folder: Path) -> None:
    """The three labelled sets, 200 comments each."""
    rng = random.Random(1)
    for name in bias.LABELLED:
        bad, good = ("滚出去 垃圾", "天气 很好") if "zh" in name else ("filthy scum", "sunny day")
        rows = [(f"{rng.choice([bad, good])} number {i}", i) for i in range(200)]
        pq.write_table(
            pa.table(
                {
                    "text": [t for t, _ in rows],
                    "label": [int(t.startswith(bad)) for t, _ in rows],
                    "lang": ["zh" if "zh" in name else "en"] * 200,
                }
            ),
            folder / f"{name}.parquet",
        )


def test_comments_leave_out_what_must_not_be_fitted(tmp_path: Path) -> None:
    write(tmp_path)
    found = bias.comments(tmp_path, frozenset())
    assert 500 < len(found) < 600
    assert not any(is_heldout(content_key(c.text)) for c in found)
    assert 0.08 < np.mean([c.heldout for c in found]) < 0.22
    ban = found[0].text
    for key in (bias.normal(ban.upper() + "!"), content_key(ban)):
        assert ban not in {c.text for c in bias.comments(tmp_path, frozenset({key}))}


def test_masked_texts_are_whole() -> None:
    texts = ["Women said no. \n\nThen they left.", "", "河南人很好。"]
    assert bias.masked(texts) == [
        f"{PLACEHOLDER} said no. \n\nThen they left.",
        "",
        f"{PLACEHOLDER}很好。",
    ]


def test_statements_and_frames_are_drawn_the_same_again(tmp_path: Path) -> None:
    write(tmp_path)
    found = bias.comments(tmp_path, frozenset())
    assert bias.statements(3) == bias.statements(3) != bias.statements(4)
    assert bias.framed(found, 3) == bias.framed(found, 3)
    assert all(x.strip() for x in bias.statements(3))


def test_a_fit_tells_the_classes_apart() -> None:
    texts = [f"you are filthy scum {i}" for i in range(60)] + [
        f"a sunny day {i}" for i in range(60)
    ]
    labels = np.repeat([1, 0], 60).astype(np.int8)
    fitted = bias.fit(bias.features(texts), labels, np.ones(120))
    model = bias.quantised({"foul": fitted})
    raw = b"what filthy scum|what a sunny day"
    cut = raw.index(b"|")
    data = np.frombuffer(raw, np.uint8)
    p = model.span_scores(data, np.array([0, cut + 1]), np.array([cut, len(raw)]))[:, 0]
    assert p[0] - p[1] > 0.4
