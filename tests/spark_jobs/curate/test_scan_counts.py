"""Counts of a scan: of its units together, and again from the manifest of a release."""

from headrace.spark_jobs.curate.scan_counts import ScanCounts, UnitCounts


def test_units_add_up_and_a_release_keeps_what_is_judged() -> None:
    unit: UnitCounts = {
        "records": 5, "usable": 4, "unreadable": 2, "repaired": 1, "bytes": 90,
        "unreadable_bytes": 9, "rejected": {"format": 2, "bias": 1},
    }  # fmt: skip
    counts = ScanCounts.of_units([unit, unit])
    assert counts == ScanCounts(
        read=14, kept=4, rejected={"bias": 2, "format": 4}, unreadable=4, repaired=2, usable=8,
        bytes=180, unreadable_bytes=18,
    )  # fmt: skip
    again = ScanCounts.of_release(
        {"read": 14, "kept": 4, "rejected": counts.rejected, "unreadable": 4, "repaired": 2},
        counts.sizes,
    )
    assert (again.outcomes, again.sizes) == (counts.outcomes, counts.sizes)
    assert ScanCounts.of_units([]) == ScanCounts()
