"""What tests read in the record of decisions."""

from pathlib import Path

from headrace.infra import audit
from headrace.infra.registry import rules


def moves(home: Path, model: str = "headrace") -> list[str]:
    """The versions to which a state folder's champion was moved, in order."""
    made = rules.decisions(audit.read(home / "audit.jsonl"), model)
    return [str(decision.to) for decision in made if decision.moved]
