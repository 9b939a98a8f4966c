"""What level 3 knows comes from the packages of the extra `fit`."""

import json

import pytest

from headrace.spark_jobs.fit.facts import OUTPUT, knowledge


@pytest.mark.slow
def test_packed_file_is_what_the_packages_give() -> None:
    assert json.loads(OUTPUT.read_text(encoding="utf-8")) == knowledge()
