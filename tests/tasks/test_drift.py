import json
from pathlib import Path

from headrace.infra.settings import Shared
from headrace.tasks.drift import alert_payload, content_hashes
from headrace.tasks.settings import CurateSettings


def test_raw_text_has_no_release_id() -> None:
    payload = alert_payload("/w.jsonl", "/some/reference.jsonl", {"p_value": 0.01})
    assert payload == {"reference": None, "window": "/w.jsonl", "p_value": 0.01}


def test_the_same_text_has_the_same_hash_wherever_it_stands(tmp_path: Path) -> None:
    text = "The committee met on Tuesday and agreed to publish the minutes of its meeting."
    hashes = []
    for name, texts in (("a", [text, text]), ("b", ["Another sentence altogether.", text])):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
        hashes.append(set(content_hashes(str(path), CurateSettings(), Shared()).to_pylist()))
    assert len(hashes[0]) == 1 and len(hashes[1]) == 2 and hashes[0] < hashes[1]
