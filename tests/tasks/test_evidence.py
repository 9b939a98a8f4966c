"""Whom a chain's model has to beat; the measurements themselves: tests/e2e/test_chain.py."""

from pathlib import Path

from headrace.tasks.evidence import standing_against
from headrace.tasks.recording import registry, tracking


def test_a_verdict_against_an_old_rival_is_no_answer_for_ever(state: Path) -> None:
    store, models = tracking(), registry("headrace")

    def registered(name: str, compared_with: str | None) -> tuple[str, str]:
        export = state / "runs" / name / "export"
        export.mkdir(parents=True, exist_ok=True)
        run = store.start_run("gate", {})
        tags = {"parent_version": compared_with}
        return models.register(run, export, str(state / "releases/r"), tags), str(export)

    def rival(export: str) -> str | None:
        found = standing_against(export, models)
        return found.number if found else None

    v1, one = registered("one", None)
    assert rival(one) is None, "there is no champion"
    models.decide(v1, True, "A", "first")
    assert rival(one) is None, "carried out: it stays what it was"
    v2, two = registered("two", v1)
    _, three = registered("three", v1)
    assert rival(two) == v1 == rival(three)
    models.decide(v2, True, "A", "better")
    assert rival(two) == v1
    assert rival(three) == v2, "not carried out: the champion is another one by now"
    models.rollback("A", "slower")
    assert rival(two) == v1 and rival(three) == v1
