"""A drift test is a function and an entry: verdict and report follow."""

import numpy as np
import pyarrow as pa
import pytest

from headrace.expectations import drift_report, drift_tests, two_sample
from headrace.expectations.drift import Reference, judge
from headrace.expectations.drift_tests import DRIFT_TESTS, DriftTest, Sides
from headrace.expectations.settings import DriftSettings
from headrace.expectations.two_sample import Outcome

FEW = DriftSettings(permutations=399)


def digits(sides: Sides) -> Outcome:
    """Compare the shares of documents with a digit."""
    texts = [*sides.reference["text"].to_pylist(), *sides.window["text"].to_pylist()]
    codes = np.array([any(c.isdigit() for c in str(t)) for t in texts], np.int32)
    return two_sample.categories("text.digits", sides.units, codes)


def documents(count: int, with_digits: bool) -> pa.Table:
    """Different texts of equal length; every second one may end with a digit."""
    letters = "abcdefghij"
    texts = []
    for i in range(count):
        name = "".join(letters[int(d)] for d in f"{i * 7919 % 10_000:04d}")
        end = "7" if with_digits and i % 2 else "z"
        texts.append(f"the quick brown fox {name} jumps over the lazy dog {end}")
    return pa.table({"text": texts})


def test_new_test_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = DriftTest("text.digits", "documents with a digit", digits)
    monkeypatch.setattr(drift_tests, "DRIFT_TESTS", (*DRIFT_TESTS, entry))
    verdict = judge(
        Reference("the corpus", documents(200, False)), documents(80, True), settings=FEW, seed=1
    )
    result = next(t for t in verdict.nearest.tests if t.name == "text.digits")
    assert result.drifted and result.effect > 0.4
    assert "text.digits" in verdict.drifted
    assert "text.digits" in [t["name"] for t in verdict.to_json()["tests"]]
    assert "documents with a digit" in drift_report.render(verdict, "a window")


def test_unit_of_the_effect_decides_the_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = DriftTest("model.doubt", "how sure it is", lambda sides: None, "bits per byte")
    monkeypatch.setattr(drift_tests, "DRIFT_TESTS", (*DRIFT_TESTS, entry))
    settings = DriftSettings(minimum_effect=0.5, minimum_loss_rise=0.2)
    assert drift_tests.least_effect("model.doubt", settings) == 0.2
    assert drift_tests.least_effect("length", settings) == 0.5
    verdict = judge(Reference("r", documents(60, False)), documents(40, False), settings=FEW)
    assert "model.doubt" not in [t.name for t in verdict.nearest.tests]


def test_names_are_different() -> None:
    assert len({test.name for test in DRIFT_TESTS}) == len(DRIFT_TESTS)
