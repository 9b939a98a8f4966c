"""Golden files: answers and files of the contract, with everything that is measured masked."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "golden"
UPDATE = "HEADRACE_UPDATE_GOLDEN"
"""Environment variable that makes `check` write the files instead of comparing."""
PROSE = {
    *(
        "alert_waits",
        "command",
        "detail",
        "hint",
        "how",
        "java",
        "kind",
        "meaning",
        "mend",
        "message",
    ),
    *(
        "note",
        "notes",
        "power_note",
        "reason",
        "reasons",
        "script",
        "summary",
        "text",
        "title",
        "why",
    ),
}
"""Keys whose text may be reworded, or names a machine."""
MEASURED = {
    *("audit_lines", "available_bytes", "bytes", "copied", "copied_bytes", "files"),
    *("device_bytes", "free_bytes", "input_bytes", "linked", "memory"),
    *("pid", "port", "seconds", "size", "state_bytes", "started", "parts"),
}
"""Keys whose whole numbers depend on the machine or the moment."""
_MASKS = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b\d{8}T\d{6}(\.\d+)?Z?"), "<time>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{8,}(?![0-9a-zA-Z])"), "<id>"),
    (re.compile(r"(?<=127\.0\.0\.1:)\d+"), "<port>"),
    (re.compile(r"(?<=://)[^/@\s]+(?=@)"), "<credentials>"),
)


def masked(value: Any, places: Mapping[str, str], key: str = "", floats: bool = False) -> Any:
    """Return `value` with ids, times, paths, prose and measured numbers replaced by a word.

    `places` maps a path to the word that stands for it; `floats` keeps floating-point numbers.
    """
    if isinstance(value, dict):
        inner = {k: key if key == "parts" else k for k in value}  # bytes by any name
        return {
            text(k, places): masked(v, places, inner[k], floats) for k, v in sorted(value.items())
        }
    if isinstance(value, list):
        return [masked(item, places, key, floats) for item in value]
    if isinstance(value, str):
        return "<prose>" if key in PROSE and value else text(value, places)
    if isinstance(value, float) and not floats:
        return "<float>"
    if isinstance(value, int) and not isinstance(value, bool) and key in MEASURED and not floats:
        return "<int>"
    return value


def text(value: str, places: Mapping[str, str]) -> str:
    """Return a string with ids, times, ports and known paths replaced."""
    for place in sorted(places, key=len, reverse=True):
        value = value.replace(place, f"<{places[place]}>")
    for pattern, word in _MASKS:
        value = pattern.sub(word, value)
    return value


def check(name: str, value: Any, places: Mapping[Path, str], floats: bool = False) -> None:
    """Compare a masked value with tests/golden/NAME.json, or write that file under UPDATE."""
    words = {str(place): word for place, word in places.items()}
    shown = json.dumps(masked(value, words, floats=floats), indent=1, ensure_ascii=False) + "\n"
    path = FOLDER / f"{name}.json"
    if os.environ.get(UPDATE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == shown, (
        f"{path.name} differs. A change of the contract on purpose: {UPDATE}=1 writes it anew"
    )
