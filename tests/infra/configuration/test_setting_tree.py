"""The tree of settings: sections, leaves with the defaults of their place, layers."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from headrace.infra.configuration.setting_tree import (
    REQUIRED,
    Below,
    laid,
    leaves,
    only_numbers,
    over_defaults,
    section,
)
from headrace.infra.configuration.settings import Settings


class Rates(Settings):
    fast: float = 1.0
    slow: float = 0.1


class Other(Settings):
    name: str = "other"


class Course(Settings):
    rates: Rates = Rates(fast=2.0)
    table: dict[str, float] = {"a": 1.0}


class Job(Settings):
    course: Course = Course(rates=Rates(fast=3.0, slow=0.3), table={"a": 5.0, "b": 6.0})
    maybe: Rates | None = None
    filled: Rates | None = Rates(slow=0.7)
    either: Rates | Other = Rates(fast=8.0)
    some: tuple[Rates, ...] = (Rates(fast=9.0),)
    name: str


@pytest.mark.parametrize(
    ("annotation", "model"),
    [
        (Rates, Rates), (Rates | None, Rates), (Annotated[Rates, 1], Rates),
        (Annotated[Rates | None, 1], Rates), (Rates | Other, None), (tuple[Rates, ...], None),
        (dict[str, Rates], None), (int, None), (Any, None), (None, None),
    ],
)  # fmt: skip
def test_a_section_is_a_field_of_one_model(annotation: Any, model: type[BaseModel] | None) -> None:
    assert section(annotation) is model


def test_leaves_have_the_defaults_of_their_place() -> None:
    found = {key: default for key, _, default in leaves(Job)}
    assert found["course.rates.fast"] == 3.0 and found["course.rates.slow"] == 0.3
    assert found["course.table"] == {"a": 5.0, "b": 6.0}
    assert found["maybe.slow"] == 0.1, "of what is None by default it is the class's"
    assert found["filled.slow"] == 0.7 and found["name"] is REQUIRED


def test_a_part_of_a_section_is_completed_by_the_defaults_of_its_place() -> None:
    job = Job.model_validate({"name": "x", "course": {"rates": {"slow": 0.9}}})
    assert job.course == Course(rates=Rates(fast=3.0, slow=0.9), table={"a": 5.0, "b": 6.0})
    assert Job(name="x", course=Course(table={})).course.rates.fast == 2.0, "an instance is whole"


def test_what_is_none_by_default_is_completed_by_its_class_and_none_stays_none() -> None:
    assert Job.model_validate({"name": "x", "maybe": {"slow": 1.0}}).maybe == Rates(slow=1.0)
    filled = Job.model_validate({"name": "x", "filled": {"fast": 4.0}}).filled
    assert filled == Rates(fast=4.0, slow=0.7)
    assert Job(name="x", filled=None).filled is None


def test_a_choice_among_models_and_a_list_are_replaced() -> None:
    job = Job.model_validate({"name": "x", "either": {"slow": 0.2}, "some": [{"slow": 0.2}]})
    assert job.either == Rates(slow=0.2) and job.some == (Rates(slow=0.2),)
    assert Job.model_validate({"name": "x", "either": {"name": "o"}}).either == Other(name="o")


def test_a_layer_changes_what_it_names() -> None:
    base: dict[str, Any] = {"course": {"rates": {"fast": 1.5}, "table": {"c": 1.0}}, "name": "a"}
    over = {"course": {"rates": {"slow": 0.5}, "table": {"d": 2.0}}}
    assert laid(base, over, Job) == {
        "course": {"rates": {"fast": 1.5, "slow": 0.5}, "table": {"d": 2.0}},
        "name": "a",
    }
    assert base["course"]["rates"] == {"fast": 1.5}, "layers stay as they are"


def test_a_path_into_a_mapping_changes_one_key_of_it() -> None:
    path = Below({"course": Below({"table": Below({"b": 7.0})})})
    completed: Any = over_defaults(Job, path)["course"]
    assert completed["table"] == {"a": 5.0, "b": 7.0}
    given = {"course": {"table": {"c": 1.0}}}
    merged: Any = laid(given, path, Job)
    assert merged["course"]["table"] == {"c": 1.0, "b": 7.0}


def test_two_paths_into_a_mapping_change_two_keys_of_it() -> None:
    both: dict[str, Any] = {}
    for key in ("b", "c"):
        both = laid(both, Below({"course": Below({"table": Below({key: 7.0})})}), Job)
    assert over_defaults(Job, both)["course"]["table"] == {"a": 5.0, "b": 7.0, "c": 7.0}


def test_unknown_keys_and_odd_values_pass_through_to_the_validation() -> None:
    assert laid({"x": {"a": 1}}, {"x": {"b": 2}}, Job) == {"x": {"b": 2}}
    assert over_defaults(Job, {"course": 3, "odd": 1}) == {"course": 3, "odd": 1}


def test_which_fields_hold_numbers_only() -> None:
    assert only_numbers(int) and only_numbers(float | None)
    assert not only_numbers(bool) and not only_numbers(bool | int) and not only_numbers(str | int)
