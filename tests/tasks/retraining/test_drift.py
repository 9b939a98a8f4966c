"""A window against all that the champion knows, with or without a model that can be read."""

import json
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.expectations.settings import DriftSettings
from headrace.infra.configuration.settings import Shared
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration.settings import CurateSettings, RetrainConfig
from headrace.tasks.mlflow_log import registry
from headrace.tasks.retraining import drift
from headrace.tasks.retraining.drift import (
    compare_texts,
    content_hashes,
    release_id,
    still_drifts,
)
from headrace.tasks.retraining.records import VERDICT, WINDOW
from headrace.tasks.retraining.verdicts import Finding
from headrace.tasks.retraining.window import Window

Make = Callable[..., str]
FEW = DriftSettings(permutations=399, scored_documents=40)
TOPICS = {
    "law": "court judge tenant landlord contract clause appeal statute party lease rent notice",
    "sea": "ship harbor tide anchor sailor reef wave cargo storm lighthouse deck captain",
    "food": "oven flour butter sugar recipe kitchen dinner soup bread garlic onion pepper",
}


def texts(topic: str, count: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    words = TOPICS[topic].split()
    return [
        f"In case {draw.integers(10**6)} the report says: {' '.join(draw.choice(words, 25))}."
        for _ in range(count)
    ]


def window_file(path: Path, said: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in said))
    return str(path)


def scored(folder: Path, said: list[str]) -> pa.Table:
    """The texts as curation scores them."""
    window = Window.of(window_file(folder / "scored.jsonl", said))
    return drift._side(window, CurateSettings(), Shared()).table()


def compared(reference: str, window: str, **settings: Any) -> dict[str, Any]:
    chosen = FEW.model_copy(update=settings)
    found: Finding = compare_texts.fn(
        reference, Window.of(window), chosen, CurateSettings(), Shared()
    )
    return found.as_json()


@pytest.fixture
def taught(champion: Make, release: Make, tmp_path: Path) -> str:
    """The corpus of a champion: law, then one window of the sea."""
    law, sea = texts("law", 400, 1), texts("sea", 120, 2)
    champion("ppo-1", release("base", law, None, scored(tmp_path, law)), None, True)
    champion("ewc-1", release("w1", sea, "base", scored(tmp_path, sea)), 100, True)
    return registry("headrace").champion().release


def release_of(name: str) -> Path:
    from headrace.infra.state.state_dir import home

    return home().root / "releases" / name


def test_raw_text_has_no_release_id() -> None:
    assert release_id("/some/reference.jsonl") is None


def test_the_same_text_has_the_same_hash_wherever_it_stands(tmp_path: Path) -> None:
    text = "The committee met on Tuesday and agreed to publish the minutes of its meeting."
    hashes = []
    for name, said in (("a", [text, text]), ("b", ["Another sentence altogether.", text])):
        path = window_file(tmp_path / f"{name}.jsonl", said)
        hashes.append(set(content_hashes(path, CurateSettings(), Shared()).to_pylist()))
    assert len(hashes[0]) == 1 and len(hashes[1]) == 2 and hashes[0] < hashes[1]


def test_what_was_taught_last_raises_no_alarm_and_what_is_new_does(
    taught: str, tmp_path: Path
) -> None:
    known = compared(taught, window_file(tmp_path / "sea.jsonl", texts("sea", 60, 3)))
    assert not known["drift"], known["references"]
    assert known["drifted"] == []
    assert [r["drift"] for r in known["references"]] == [True, False]
    assert known["references"][1]["reference"] == "what the champion was taught last"
    new = compared(taught, window_file(tmp_path / "food.jsonl", texts("food", 60, 4)))
    assert new["drift"] and "text.neighbours" in new["drifted"]
    assert set(new) >= {"drift", "p_value", "effect", "drifted", "report"}
    page = unescape(Path(new["report"]).read_text())
    assert "what the champion was taught last" in page and "champion's loss" in page
    assert all(r["loss"]["heldout"] > 0 for r in new["references"] if r["loss"])
    assert new["without_loss"] is None and new["references"][0]["loss"] is not None


def test_a_model_that_cannot_be_read_is_said_and_the_text_is_compared_all_the_same(
    taught: str, tmp_path: Path
) -> None:
    export = registry("headrace").champion().export
    (export / "model.safetensors").unlink()
    window = window_file(tmp_path / "food.jsonl", texts("food", 60, 4))
    found = compared(taught, window)
    assert found["drift"] and "model.safetensors" in found["without_loss"]
    assert all(r["loss"] is None for r in found["references"])
    shutil.rmtree(export)
    assert compared(taught, window, alpha=0.004)["drift"]


def test_a_reference_of_ones_own_stands_alone(
    taught: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = window_file(tmp_path / "sea.jsonl", texts("sea", 60, 3))
    own = window_file(tmp_path / "law.jsonl", texts("law", 100, 5))
    for reference in (own, str(release_of("base"))):
        found = compared(reference, window)
        assert found["drift"] and len(found["references"]) == 1
        assert found["references"][0]["loss"] is None and found["without_loss"] is None
    monkeypatch.setattr("headrace.expectations.drift.judge", None)
    assert compared(reference, window) == found, "the same comparison is made once"


def test_settings_leave_out_what_was_taught_and_the_loss(taught: str, tmp_path: Path) -> None:
    window = window_file(tmp_path / "sea.jsonl", texts("sea", 60, 3))
    found = compared(taught, window, taught_windows=0, scored_documents=0)
    assert found["drift"] and len(found["references"]) == 1
    assert found["references"][0]["loss"] is None


def test_a_release_is_read_in_the_order_of_its_records(release: Make) -> None:
    folder = release("base", texts("law", 30, 1))
    table = drift._of_releases([folder])
    assert table["position"].to_pylist() == list(range(1, 31))
    assert (
        table["given_source"].to_pylist() == ["wire"] * 30 and "metadata" not in table.schema.names
    )


def test_the_source_that_a_record_names_is_read_out_of_its_metadata() -> None:
    said = ['{"given_source": "a \\"b\\" c", "x": 1}', '{"x":2,"given_source":"d"}', "{}", None]
    table = drift._grouped(pa.table({"metadata": pa.array(said, pa.string())}))
    assert table["given_source"].to_pylist() == ['a \\"b\\" c', "d", None, None]


def test_an_alert_ends_where_the_champion_has_learned_the_shift_meanwhile(
    taught: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "compare_texts", compare_texts.fn)  # no server for one step
    window = window_file(tmp_path / "sea.jsonl", texts("sea", 60, 3))
    settings = RetrainConfig.model_validate({"monitor": FEW.model_dump()})
    assert still_drifts(window, settings), "raw text has no verdict: its alert stands"
    inbox = home().windows / f"000001{WINDOW}"
    inbox.parent.mkdir(parents=True, exist_ok=True)
    state = Path(window).stat()
    from headrace.infra.lineage import sha256

    file = {"uri": window, "bytes": state.st_size, "changed": state.st_mtime_ns,
            "sha256": sha256(window)}  # fmt: skip
    made = {"number": 1, "made": "2026-11-27T00:00:00+00:00"}
    inbox.write_text(json.dumps({"inbox": str(tmp_path), "files": [file], **made}))
    verdict = inbox.with_name(f"000001{VERDICT}")

    def judged(drifted: bool, reference: str | None) -> None:
        verdict.write_text(
            json.dumps(
                {
                    "window": str(inbox),
                    "judged": made["made"],
                    "drift": drifted,
                    "reference": reference,
                }
            )
        )

    judged(True, "w1")
    assert still_drifts(str(inbox), settings), "judged against the champion of today"
    judged(False, "base")
    assert still_drifts(str(inbox), settings), "another monitor's alert"
    judged(True, "base")
    assert not still_drifts(str(inbox), settings)
    Path(window).unlink()
    assert still_drifts(str(inbox), settings), "what can't be read is for the round to say"
