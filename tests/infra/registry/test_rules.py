"""What decisions come to, by entries alone: no store, no files."""

from __future__ import annotations

import pytest

from headrace.infra.errors import UsageError
from headrace.infra.registry import rules
from headrace.infra.registry.rules import Decision, Skipped


def entries(*moves: tuple[str, str | None, str | None, str]) -> list[Decision]:
    """Decisions of (action, from, to, version), a minute apart, each of a run of its own."""
    return [
        Decision.of(
            {
                "number": n,
                "time": f"2026-01-01T00:0{n}:00+00:00",
                "action": action,
                "model": "m",
                "version": version,
                "from": before,
                "to": to,
                "who": "A",
                "why": "b",
                "run_id": f"run-{n}",
            }
        )
        for n, (action, before, to, version) in enumerate(moves, 1)
    ]


FIRST = ("promote", None, "1", "1")
SECOND = ("promote", "1", "2", "2")
THIRD = ("promote", "2", "3", "3")
BACK = ("rollback", "3", "2", "2")
REFUSED = ("refuse", "3", "3", "2")


@pytest.mark.parametrize(
    ("moves", "stack", "approved"),
    [
        ((), [], []),
        ((FIRST, SECOND, THIRD), ["1", "2", "3"], ["1", "2", "3"]),
        ((FIRST, SECOND, THIRD, BACK), ["1", "2"], ["1", "2"]),
        ((FIRST, SECOND, THIRD, ("rollback", "3", "1", "1")), ["1"], ["1", "2"]),
        ((FIRST, SECOND, THIRD, REFUSED), ["1", "2", "3"], ["1", "3"]),
    ],
)
def test_champions_are_a_stack_and_approval_can_be_lost(
    moves: tuple[tuple[str, str | None, str | None, str], ...],
    stack: list[str],
    approved: list[str],
) -> None:
    assert rules.champions(entries(*moves)) == stack
    assert rules.approved(entries(*moves)) == approved


def test_a_rollback_passes_by_what_is_unfit() -> None:
    made = entries(FIRST, SECOND, THIRD, REFUSED)
    back = rules.go_back(made, "m", lambda version: True)
    assert (back.before, back.to, back.skipped) == ("3", "1", (Skipped("2", "was refused"),))
    with pytest.raises(UsageError, match="version 2 was refused; version 1 was deleted in MLflow"):
        rules.go_back(made, "m", lambda version: version != "1")
    with pytest.raises(UsageError, match=r"no champion to go back to$"):
        rules.go_back(entries(FIRST), "m", lambda version: True)


def test_a_verdict_is_settled_by_its_run_a_refusal_a_rollback_or_the_same_rival() -> None:
    made = entries(FIRST, SECOND)
    assert rules.settling(made, "2", "9", "run-2") == made[1]
    assert rules.settling(made, "2", "1", "another") == made[1], "over the same rival"
    assert rules.settling(made, "2", "9", "another") is None
    assert rules.settling(made, "3", "2", "run-3") is None
    refused = entries(FIRST, SECOND, THIRD, REFUSED)
    assert rules.settling(refused, "2", "9", "another") == refused[3]
    back = entries(FIRST, SECOND, THIRD, BACK)
    assert rules.settling(back, "3", "9", "another") == back[3]


def test_since_is_the_last_time_that_a_version_became_champion() -> None:
    made = entries(FIRST, SECOND, THIRD, BACK, REFUSED)
    assert rules.since(made, "2") == made[3].time and rules.since(made, "1") == made[0].time
    assert rules.since(made, "9") is None


def test_only_decisions_on_the_model_count() -> None:
    lines = [d.entry for d in entries(FIRST, SECOND)]
    others = [{**lines[0], "model": "other"}, {**lines[0], "action": "release"}]
    assert [d.number for d in rules.decisions([*lines, *others], "m")] == [1, 2]


def test_an_entry_of_an_earlier_version_names_its_version_by_where_it_led() -> None:
    made = Decision.of({"number": 1, "time": "t", "action": "promote", "from": None, "to": "4"})
    assert made.version == "4" and made.who is None and made.places == ()


def test_a_comparison_with_a_former_champion_is_outdated() -> None:
    tags = {rules.WAITING: "true", rules.COMPARED: "1"}
    assert rules.outdated_rival(tags, "1") is None and rules.outdated_rival(tags, "2") == "1"
    assert rules.outdated_rival({rules.COMPARED: "1"}, "2") is None, "it doesn't wait"
    nothing = {rules.WAITING: "true", rules.COMPARED: rules.NO_VERSION}
    assert rules.outdated_rival(nothing, None) is None
    assert rules.named(rules.NO_VERSION) == "no model" and rules.named("3") == "version 3"
