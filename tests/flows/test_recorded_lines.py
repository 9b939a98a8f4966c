"""Lines of the audit file in words."""

import pytest

from headrace.flows.summaries.records import decisions_screen
from headrace.infra.json_types import Json

LINE: dict[str, Json] = {
    "number": 3, "model": "m", "action": "rollback", "version": "1", "from": "2", "to": "1",
    "who": "A. Lead", "why": "slower", "time": "2026-01-02T03:04:05+00:00",
}  # fmt: skip


def test_a_recorded_decision_says_version_who_and_why() -> None:
    refused = {**LINE, "number": 4, "action": "refuse", "version": "5", "from": "1"}
    said = decisions_screen([LINE, {**refused, "who": "gate"}]).splitlines()
    assert len(said) == 3 and said[1] == (
        "     3  m: version 1 champion again (champion 2 -> 1) by A. Lead, "
        "2026-01-02T03:04:05+00:00: slower"
    )
    assert "version 5 refused by gate" in said[2], "a refusal moves no champion"
    by_account = decisions_screen([{**LINE, "account": "deploy"}])
    assert by_account.endswith(": slower (account deploy)")
    assert "nothing yet" in decisions_screen([])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"action": "release", "release_id": "ab", "release": "releases/ab"},
         "release ab published as releases/ab"),
        ({"action": "deploy", "deployments": ["a/b"], "from": {}, "to": {"x": 1}},
         "deployed a/b; 1 values, all of them new"),
        ({"action": "thresholds", "of": "drift", "from": {"alpha": 0.1}, "to": {"alpha": 0.2}},
         "thresholds of drift: alpha: 0.1 -> 0.2"),
        ({"action": "thresholds", "of": "drift", "from": {f"p{i}": i for i in range(7)}, "to": {}},
         "p4: 4 -> none and 2 more"),
        ({"action": "gc", "removed": ["runs/a", "runs/b"], "bytes": 1}, "removed runs/a, runs/b"),
        ({"action": "gc", "expired": [{"kind": "damaged files", "items": 2}], "by": "worker"},
         "removed damaged files: 2"),
        ({"action": "gc", "prefect": {"runs": 3, "events": 0, "bytes": 9}},
         "removed 3 runs of Prefect"),
        ({"action": "alias set back", "model": "m", "from": "2", "to": "1", "why": "was moved"},
         "m: was moved; set back to version 1"),
        ({"action": "of a later version"}, "of a later version"),
    ],
)  # fmt: skip
def test_what_else_is_recorded_is_shown_with_its_account(line: dict[str, Json], said: str) -> None:
    more: dict[str, Json] = {"number": 7, "time": "2026-01-02T03:04:05+00:00", "account": "deploy"}
    shown = decisions_screen([{**line, **more}]).splitlines()[1]
    assert said in shown and shown.endswith(", 2026-01-02T03:04:05+00:00 (account deploy)")
