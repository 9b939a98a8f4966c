"""Counts of records by what became of them: they add up, and none is dropped."""

import pytest

from headrace.infra.schemas import LEDGER
from headrace.spark_jobs.curate.ledger import Key, Ledger, Line, table, totals

KEPT = Line("a", "kept", "", "", "en", 3, 30, 1)
LATE = Line("a", "rejected", "duplicate", "duplicate.near", "en", 2, 20, 0)
EARLY = Line("b", "rejected", "format", "format.markup", "zh", 1, 10, 0)
CUT = Line("b", "unreadable", "", "", "und", 1, 5, 0)


def test_parts_add_up_in_the_order_of_their_keys() -> None:
    ledger = Ledger([CUT, KEPT, LATE])
    ledger.add(Key("a", "kept", "", "", "en"), 2, 7)
    assert ledger.lines() == [KEPT._replace(records=5, bytes=37), LATE, CUT]


def test_totals_name_levels_in_the_order_of_decision() -> None:
    found = totals([KEPT, LATE, EARLY, CUT])
    assert found == {
        "read": 7, "kept": 3, "rejected": {"format": 1, "duplicate": 2}, "unreadable": 1,
        "repaired": 1,
    }  # fmt: skip
    assert list(found["rejected"]) == ["format", "duplicate"]


def test_a_reject_of_a_level_that_is_not_registered_is_an_error() -> None:
    with pytest.raises(ValueError, match="capitals rejects records but isn't one of LEVELS"):
        totals([KEPT, EARLY._replace(level="capitals")])


def test_what_was_not_rejected_has_no_level_in_the_file() -> None:
    rows = table([KEPT, EARLY])
    assert rows.schema == LEDGER
    assert rows["level"].to_pylist() == [None, "format"]
    assert table([]).num_rows == 0
