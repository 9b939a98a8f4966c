"""What a scan counts: records and bytes by what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypedDict

from headrace.infra.releases import Sizes, Totals


class UnitCounts(TypedDict):
    """The counts of a unit, as its marker has them."""

    records: int
    usable: int
    unreadable: int
    repaired: int
    bytes: int
    unreadable_bytes: int
    rejected: dict[str, int]


class UnreadableRecord(TypedDict):
    """Where a record is that could not be read, and why."""

    source: str
    position: int
    error: str


@dataclass(frozen=True)
class ScanCounts:
    """The counts of a scan."""

    read: int = 0
    kept: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    """By level."""
    unreadable: int = 0
    repaired: int = 0
    usable: int = 0
    """Records with text that the levels can judge."""
    bytes: int = 0
    unreadable_bytes: int = 0

    @classmethod
    def of_units(cls, units: Iterable[UnitCounts]) -> ScanCounts:
        """Return the sums of the counts of some units."""
        sums: Counter[str] = Counter()
        rejected: Counter[str] = Counter()
        for unit in units:
            rejected.update(unit["rejected"])
            sums.update({name: n for name, n in unit.items() if isinstance(n, int)})
        return cls(
            read=sums["records"] + sums["unreadable"],
            kept=sums["records"] - rejected.total(),
            rejected=dict(sorted(rejected.items())),
            unreadable=sums["unreadable"],
            repaired=sums["repaired"],
            usable=sums["usable"],
            bytes=sums["bytes"],
            unreadable_bytes=sums["unreadable_bytes"],
        )

    @classmethod
    def of_release(cls, totals: Totals, sizes: Sizes | None) -> ScanCounts:
        """Return the counts of a manifest; one from before bytes were counted has no sizes."""
        return cls(
            totals["read"],
            totals["kept"],
            totals["rejected"],
            totals["unreadable"],
            totals.get("repaired", 0),
            bytes=sizes["bytes"] if sizes else 0,
            unreadable_bytes=sizes["unreadable_bytes"] if sizes else 0,
        )

    @property
    def outcomes(self) -> dict[str, int | dict[str, int]]:
        """The records, as an error shows them."""
        return {
            "read": self.read,
            "kept": self.kept,
            "rejected": self.rejected,
            "unreadable": self.unreadable,
        }

    @property
    def sizes(self) -> Sizes:
        """The bytes, as a manifest has them."""
        return {"bytes": self.bytes, "unreadable_bytes": self.unreadable_bytes}
