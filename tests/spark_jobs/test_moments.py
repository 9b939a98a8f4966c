"""Points in time: what a record's `created` may be."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from headrace.spark_jobs.moments import TYPE, moments


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("2024-05-06T07:08:09.123456789+08:00", datetime(2024, 5, 5, 23, 8, 9, 123456, UTC)),
        ("2024-05-06 07:08:09.000001Z", datetime(2024, 5, 6, 7, 8, 9, 1, UTC)),
        ("2024年5月6日", datetime(2024, 5, 6, tzinfo=UTC)),
        (" 6 May 2024 ", datetime(2024, 5, 6, tzinfo=UTC)),
        ("soon", None),
        ("'); DROP TABLE given; --2024", None),
        ("<value out of range: 4611686018427387904>", None),
        ("", None),
    ],
)
def test_texts(value: str, want: datetime | None) -> None:
    found = moments(pa.array([value]), pa.array([True]))
    assert found.type == TYPE and found.to_pylist() == [want]


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("2024", datetime(2024, 1, 1, tzinfo=UTC)),
        ("1.7149792890e9", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("1714979289000", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("123456789012345678901234567890", None),
        ("-0", None),
    ],
)
def test_numbers(value: str, want: datetime | None) -> None:
    assert moments(pa.array([value]), pa.array([False])).to_pylist() == [want]


def test_none_and_order() -> None:
    assert moments(pa.nulls(3, pa.string()), pa.array([False] * 3)).null_count == 3
    many = pa.array([None, *(str(1000 + k) for k in range(1999)), None])
    found = moments(many, pa.array([True] * len(many))).to_pylist()
    assert [m and m.year for m in found] == [None, *range(1000, 2999), None]
