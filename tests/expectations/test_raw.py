"""The list of input files."""

import pytest

from headrace.expectations import raw
from headrace.expectations.raw import ListedFile
from headrace.infra.errors import ValidationError


def test_right_list_passes() -> None:
    files = [ListedFile("/a", 5, "0" * 64), ListedFile("s3://b/c", 0, "x")]
    assert raw.validate(files).failed == []


def test_faults_are_named() -> None:
    files = [ListedFile("/a", 0, "0"), ListedFile("/a", 0, "")]
    failed = raw.validate(files).failed
    assert len(failed) == 3, failed
    assert "is listed once" in failed[0]
    assert "is not empty as a whole" in failed[1]
    assert "has a checksum or an etag" in failed[2]


def test_no_files() -> None:
    with pytest.raises(ValidationError, match="no input files"):
        raw.validate([])
