"""Data from a release: held-out records stay apart, a record serves one stage, same bytes again."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.infra.errors import InputError, ValidationError
from headrace.infra.lineage import is_heldout
from headrace.training.rlhf.data import examples
from headrace.training.rlhf.data.derive import derive
from headrace.training.rlhf.data.settings import DeriveSettings
from headrace.training.rlhf.stages import STAGES

SETTINGS = DeriveSettings(min_items=2)


def document(n: int, lang: str) -> str:
    if lang == "zh":
        return "".join(f"第{n}号文件第{i}条规定有关单位应当依法办理。" for i in range(4))
    return " ".join(f"Document {n} holds rule {i} for all members of the club." for i in range(4))


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    files = []
    for lang, domain in (("en", "general"), ("zh", "legal")):
        path = f"documents/lang={lang}/domain={domain}/part-0.parquet"
        texts = [document(n, lang) for n in range(300)]
        hashes = [hashlib.blake2b(t.encode(), digest_size=16).hexdigest() for t in texts]
        (folder / path).parent.mkdir(parents=True)
        pq.write_table(pa.table({"content_hash": hashes, "text": texts}), folder / path)
        files.append({"path": path})
    (folder / "manifest.json").write_text(json.dumps({"release_id": "r1", "files": files}))
    return folder


def load(folder: str, part: str) -> list[dict[str, Any]]:
    return [json.loads(x) for x in (Path(folder) / f"{part}.jsonl").read_text().splitlines()]


def number(row: dict[str, Any]) -> str:
    """lang and number of the document that a row comes from."""
    found = re.search(r"\u7b2c(\d+)\u53f7|Document (\d+) ", row["prompt"])
    assert found
    return f"{row['lang']}{found[1] or found[2]}"


def test_every_stage_gets_valid_rows_of_both_languages(release: Path, tmp_path: Path) -> None:
    made: Any = derive(str(release), str(tmp_path / "out"), SETTINGS, seed=1)
    for stage, columns in ((s.name, s.columns) for s in STAGES.values()):
        found = examples.read(made[stage]["data"], columns, 0.5, 2)
        assert len(found.train) == made[stage]["train"]
        assert len(found.heldout) == made[stage]["heldout"]
        assert {r["lang"] for r in load(made[stage]["data"], "train")} == {"en", "zh"}


def test_held_out_records_are_evaluation_only(release: Path, tmp_path: Path) -> None:
    made: Any = derive(str(release), str(tmp_path / "out"), SETTINGS, seed=1)
    held = set()
    for lang in ("en", "zh"):
        for n in range(300):
            h = hashlib.blake2b(document(n, lang).encode(), digest_size=16).hexdigest()
            if is_heldout(h):
                held.add(document(n, lang))
    for stage in STAGES:
        for part in ("train", "heldout"):
            for row in load(made[stage]["data"], part):
                beginning = row["prompt"].split(": ", 1)[-1].split("：", 1)[-1]
                assert any(beginning in text for text in held) == (part == "heldout")


def test_a_record_trains_one_stage_only(release: Path, tmp_path: Path) -> None:
    made: Any = derive(str(release), str(tmp_path / "out"), SETTINGS, seed=1)
    seen = {s: {number(r) for r in load(made[s]["data"], "train")} for s in STAGES}
    assert not seen["sft"] & seen["reward"]
    assert not seen["sft"] & seen["ppo"]
    assert not seen["reward"] & seen["ppo"]


def test_same_release_and_seed_same_bytes(release: Path, tmp_path: Path) -> None:
    def everything(folder: Path, seed: int) -> dict[str, bytes]:
        derive(str(release), str(folder), SETTINGS, seed=seed)
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.jsonl"))}

    first = everything(tmp_path / "a", 1)
    assert everything(tmp_path / "b", 1) == first
    assert everything(tmp_path / "c", 2) != first


def test_a_finished_output_is_left_alone(release: Path, tmp_path: Path) -> None:
    first = derive(str(release), str(tmp_path / "out"), SETTINGS, seed=1)
    mark = (tmp_path / "out" / "sft" / "train.jsonl").stat().st_mtime_ns
    assert derive(str(release), str(tmp_path / "out"), SETTINGS, seed=1) == first
    assert (tmp_path / "out" / "sft" / "train.jsonl").stat().st_mtime_ns == mark


def test_caps_and_too_little_text(release: Path, tmp_path: Path) -> None:
    few = SETTINGS.model_copy(update={"sft": 10, "heldout": 4})
    made = derive(str(release), str(tmp_path / "few"), few, seed=1)
    assert (made["sft"]["train"], made["ppo"]["heldout"]) == (10, 4)
    many = SETTINGS.model_copy(update={"min_items": 5000})
    with pytest.raises(ValidationError, match="are needed"):
        derive(str(release), str(tmp_path / "x"), many, seed=1)
    with pytest.raises(InputError):
        derive(str(tmp_path / "nothing"), str(tmp_path / "y"), SETTINGS, seed=1)
