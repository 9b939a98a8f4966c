"""The answer that a verdict becomes."""

import json

from headrace.expectations import verdict
from headrace.expectations.losses import LossRise, Stratum
from headrace.expectations.settings import DriftSettings
from headrace.expectations.verdict import Comparison, DriftVerdict


def comparison(name: str, drifted: bool, loss: LossRise | None = None) -> Comparison:
    return Comparison(
        reference=name,
        p_value=0.001 if drifted else 0.5,
        effect=0.3,
        tests=(verdict.TestResult("length", 0.4, 0.001, 0.3, drifted),),
        loss=loss,
        reference_documents=200,
        window_documents=50,
        order="position",
        window_run=1.0,
        reference_units=200,
        window_units=50,
        least_p=0.0005,
        distributions=(),
        unusual=(),
        settings=DriftSettings(),
        seed=7,
    )


def test_answer_has_the_keys_of_the_contract() -> None:
    rise = LossRise(1.0, 1.5, (Stratum("en", 20, 30, 1.0, 1.5),))
    answer = DriftVerdict((comparison("corpus", True, rise), comparison("taught", False))).to_json()
    assert list(answer) == [
        "drift", "p_value", "effect", "drifted", "tests", "references", "without_loss"
    ]  # fmt: skip
    assert not answer["drift"] and answer["drifted"] == []
    assert json.loads(json.dumps(answer)) == answer
    first, second = answer["references"]
    assert first["drifted"] == ["length"] and second["loss"] is None
    assert first["loss"] == {
        "heldout": 1.0,
        "window": 1.5,
        "strata": [
            {
                "name": "en", "heldout_documents": 20, "window_documents": 30, "heldout": 1.0,
                "window": 1.5,
            }
        ],
        "rise": 0.5,
    }  # fmt: skip
    assert first["settings"]["alpha"] == DriftSettings().alpha


def test_tests_are_those_against_the_nearest_reference() -> None:
    both = DriftVerdict((comparison("corpus", True), comparison("taught", True)))
    assert both.drift and both.drifted == ("length",)
    assert both.to_json()["tests"] == [
        {"name": "length", "statistic": 0.4, "p_value": 0.001, "effect": 0.3, "drifted": True}
    ]
