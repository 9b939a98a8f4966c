import json
from pathlib import Path

from headrace.infra.settings import Shared
from headrace.tasks.drift import emit_alert


def test_raw_text_has_no_release_id(state: Path) -> None:
    path = emit_alert("/w.jsonl", "/some/reference.jsonl", {"p_value": 0.01}, Shared())
    payload = json.loads(Path(path).read_text())["payload"]
    assert payload["reference"] is None and payload["window"] == "/w.jsonl"
