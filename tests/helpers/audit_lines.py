"""What tests read in the record of decisions."""

import json
from pathlib import Path


def moves(home: Path) -> list[str]:
    """The versions to which a state folder's champion was moved, in order.

    Other lines, as of releases and thresholds, say no version.
    """
    lines = (home / "audit.jsonl").read_text().splitlines()
    return [str(line["to"]) for line in map(json.loads, lines) if "version" in line]
