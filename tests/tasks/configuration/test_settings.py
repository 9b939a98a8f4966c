"""A setting that is given changes itself and nothing else, wherever it stands in a verb's tree."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.configuration.setting_tree import leaves
from headrace.infra.configuration.settings import Shared, load
from headrace.infra.errors import UsageError
from headrace.tasks.configuration import settings as verbs
from headrace.tasks.configuration.settings import (
    AlignConfig,
    AlignSettings,
    RetrainConfig,
    RunConfig,
    component,
)
from headrace.tasks.lifecycle import round_settings

VERBS = [Shared, *(v for n, v in vars(verbs).items() if n.endswith("Config"))]
LEAVES = list(leaves(RunConfig))
NAMED: dict[str, Any] = {
    "spark.master": "local[3]",
    "spark.driver_memory": "4g",
    "spark.executor_memory": "2g",
    "notify.webhook": "https://example.org/hook",
    "input.fields": {"text": "content"},
    "input.languages": ["en"],
    "domain.targets": {"legal": 0.4},
    "pretrain.preset": "test",
    "preset": "test",
    "ports": {"prefect": 4299},
    "rules": [],
}
"""Another valid value of settings that don't take just any of their kind."""


def another(key: str, annotation: Any, default: Any) -> Any:
    """A value that a setting takes, near its default."""
    for name, value in NAMED.items():
        if key == name or key.endswith(f".{name}"):
            return value
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(a for a in get_args(annotation) if a is not types.NoneType)
    if get_origin(annotation) is Literal:
        return next(x for x in get_args(annotation) if x != default)
    if annotation is bool:
        return not default
    if annotation is int:
        return 1 if default is None else default + 1
    if annotation is float:
        return 0.5 if default is None else default * 0.9 if default else 0.25
    if annotation is str:
        return f"{default or ''}x"
    if get_args(annotation)[:1] == (str,):
        return ["x"]
    return [0.8 * x for x in default]


def tree(settings: Any) -> dict[str, Any]:
    """Leaf -> value."""
    out = {}
    for key, _, _ in leaves(type(settings)):
        value = settings
        for part in key.split("."):
            value = getattr(value, part)
        out[key] = value
    return out


def as_file(path: Path, key: str, value: Any) -> Path:
    for part in reversed(key.split(".")):
        value = {part: value}
    path.write_text(yaml.safe_dump(value))
    return path


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.__name__)
def test_the_effective_default_of_each_leaf_is_what_its_verb_has(verb: type[Shared]) -> None:
    assert tree(verb()) == {key: default for key, _, default in leaves(verb)}


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.__name__)
def test_setting_one_leaf_to_its_own_default_changes_nothing(
    verb: type[Shared], tmp_path: Path
) -> None:
    default = verb()
    for key, _, value in leaves(verb):
        text = yaml.safe_dump(plain(value), default_flow_style=True).split("\n")[0]
        assert load(verb, None, [f"{key}={text}"]) == default, key
        assert load(verb, as_file(tmp_path / "c.yaml", key, plain(value))) == default, key


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.__name__)
def test_setting_one_leaf_changes_that_leaf_only(verb: type[Shared], tmp_path: Path) -> None:
    before = tree(verb())
    for key, field, default in leaves(verb):
        value = another(key, field.annotation, default)
        text = yaml.safe_dump(value, default_flow_style=True, width=1000).split("\n")[0]
        file = as_file(tmp_path / "c.yaml", key, value)
        for made in (load(verb, None, [f"{key}={text}"]), load(verb, file)):
            after = tree(made)
            assert plain(after.pop(key)) == value, key
            assert after == {k: v for k, v in before.items() if k != key}, key


@given(st.lists(st.sampled_from(LEAVES), max_size=6, unique_by=lambda leaf: leaf[0]))
def test_setting_some_leaves_changes_those_leaves_only(some: list[Any]) -> None:
    wanted = {key: another(key, field.annotation, default) for key, field, default in some}
    sets = [f"{key}={json.dumps(value)}" for key, value in wanted.items()]
    after = {key: plain(value) for key, value in tree(load(RunConfig, None, sets)).items()}
    assert after == {**{k: plain(v) for k, v in tree(RunConfig()).items()}, **wanted}


@pytest.mark.parametrize(
    ("key", "beside"),
    [
        ("retrain.ewc.course.optimizer.adamw_lr",
         {"muon_lr": 0.01, "embedding_lr": 0.004, "warmup": 0.1}),
        ("align.sft.optimizer.adamw_lr", {"muon_lr": 0.002, "embedding_lr": 0.01}),
        ("align.ppo.checkpoint.keep", {"every": 5}),
        ("retrain.ewc.material.validation.documents", {"max_bytes": 512}),
    ],
)  # fmt: skip
def test_the_siblings_of_a_nested_key_keep_the_default_of_their_place(
    key: str, beside: dict[str, float]
) -> None:
    section: Any = load(RunConfig, None, [f"{key}=7"])
    for part in key.split(".")[:-1]:
        section = getattr(section, part)
    assert {name: getattr(section, name) for name in beside} == beside


def test_layers_change_what_they_name_and_the_last_wins(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "align: {ppo: {checkpoint: {keep: 3}, optimizer: {final: 0.4}}}\n"
        "curate: {domain: {targets: {medical: 0.9, legal: 0.8}}}\n"
    )
    made = load(
        RunConfig,
        file,
        ["align.ppo.optimizer.warmup=0.2", "curate.domain.targets.legal=0.6"],
        {"align": {"ppo": {"checkpoint": {"keep": 9}}}, "spark": {"partitions": 3}},
        {"align": {"ppo": {"optimizer": {"final": 0.3}}}},
    )
    ppo, rates = made.align.ppo, made.align.ppo.optimizer
    assert (ppo.checkpoint.keep, ppo.checkpoint.every) == (3, 5)
    assert (rates.final, rates.warmup, rates.adamw_lr, rates.muon_lr) == (0.3, 0.2, 5e-4, 0.0)
    curate: Any = made.curate
    assert curate.domain.targets == {"medical": 0.9, "legal": 0.6}
    assert (made.spark.partitions, made.spark.master) == (3, "local[2]")


def test_a_mapping_that_is_a_value_is_replaced_and_a_path_into_it_changes_one_key() -> None:
    replaced: Any = load(RunConfig, None, ["curate.domain.targets={legal: 0.6}"])
    assert replaced.curate.domain.targets == {"legal": 0.6}
    one: Any = load(RunConfig, None, ["curate.domain.targets.legal=0.6"])
    assert one.curate.domain.targets == {
        "general": 0.5,
        "legal": 0.6,
        "medical": 0.5,
        "financial": 0.5,
    }


def test_verbs_hand_down_what_they_were_given() -> None:
    sets = ["retrain.ewc.course.optimizer.adamw_lr=5e-4", "align.ppo.checkpoint.keep=4",
            "gate.promote=manual", "monitor.alpha=0.01", "seed=3"]  # fmt: skip
    run = load(RunConfig, None, sets)
    below = round_settings(run)
    assert below == RetrainConfig(
        seed=3, **dict(run.retrain), curate=run.curate, gate=run.gate, monitor=run.monitor
    )
    assert below.ewc.course.optimizer.muon_lr == 0.01 and below.monitor.alpha == 0.01
    align = load(AlignConfig, None, ["ppo.checkpoint.keep=4"])
    assert component(align, AlignSettings) == run.align


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.__name__)
def test_settings_come_back_from_json_as_they_were(verb: type[Shared]) -> None:
    assert verb.model_validate_json(verb().model_dump_json()) == verb()


def test_a_part_of_the_settings_in_stored_json_is_completed_by_the_defaults_of_its_place() -> None:
    made = RetrainConfig.model_validate_json(
        '{"ewc": {"course": {"optimizer": {"adamw_lr": 5e-4}}}}'
    )
    assert made == load(RetrainConfig, None, ["ewc.course.optimizer.adamw_lr=5e-4"])
    assert made.ewc.course.optimizer.muon_lr == 0.01


@pytest.mark.parametrize(
    ("verb", "item", "said"),
    [
        (verbs.CurateConfig, "input.languages=[]", "every record would be rejected"),
        (verbs.CurateConfig, "input.languages=[zh-CN, english]", "'zh-CN' or 'english'"),
        (verbs.CurateConfig, "input.max_unreadable=1.5", "less than or equal to 1"),
        (verbs.CurateConfig, "semantics.threshold=70", "less than or equal to 1"),
        (verbs.CurateConfig, "semantics.threshold=.nan", "finite"),
        (verbs.CurateConfig, "semantics.threshold=true", "true isn't a number"),
        (verbs.CurateConfig, "bias.threshold=-0.1", "greater than or equal to 0"),
        (verbs.CurateConfig, "format.max_markup=60", "less than or equal to 1"),
        (verbs.CurateConfig, "format.min_length=-1", "greater than or equal to 0"),
        (verbs.CurateConfig, "domain.targets={}", "nothing could be kept"),
        (verbs.CurateConfig, "domain.targets={sport: 0.5}", "no model for domain 'sport'"),
        (verbs.CurateConfig, "domain.targets.legal=1.01", "threshold of legal is 1.01"),
        (verbs.CurateConfig, "domain.targets.legal=.inf", "finite"),
        (verbs.CurateConfig, "dedup.threshold=0", "greater than 0"),
        (verbs.CurateConfig, "input.fields={text: ''}", "empty name"),
        (verbs.CurateConfig, "spark.partitions=0", "greater than or equal to 1"),
        (verbs.CurateConfig, "spark.master=local[two]", "isn't a Spark master"),
        (verbs.CurateConfig, "seed=-1", "greater than or equal to 0"),
        (verbs.CurateConfig, "model.name=a/b", "expected form"),
        (verbs.MonitorConfig, "alpha=0.0001", "nothing could raise an alert"),
        (verbs.MonitorConfig, "minimum_effect=1.1", "less than or equal to 1"),
        (verbs.MonitorConfig, "max_window=19", "nothing could be compared"),
        (verbs.RetrainConfig, "minimum_kept=10", "less than or equal to 1"),
        (verbs.RetrainConfig, "minimum_records=-3", "greater than or equal to 1"),
        (verbs.RetrainConfig, "ewc.material.heldout.documents=0", "greater than or equal to 1"),
        (verbs.RetrainConfig, "ewc.course.optimizer.betas=[0.9, 1]", "less than 1"),
        (verbs.AlignConfig, "derive.heldout=15", "no text could give enough"),
        (verbs.PretrainConfig, "preset=lokal", "no preset 'lokal'"),
        (verbs.UpConfig, "ports.prefect=70000", "less than or equal to 65535"),
    ],
)
def test_settings_that_can_never_select_anything_are_refused_when_they_are_read(
    verb: type[Shared], item: str, said: str
) -> None:
    with pytest.raises(UsageError) as error:
        load(verb, None, [item])
    assert said in error.value.message and error.value.hint


def test_the_bounds_leave_every_useful_value() -> None:
    for item in ("semantics.threshold=0", "semantics.threshold=1", "bias.threshold=1",
                 "input.max_unreadable=0", "dedup.threshold=1", "domain.targets={legal: 0}",
                 "input.languages=[fr]", "input.languages=[und, zh]", "spark.master=local[*]",
                 "spark.master=spark://a:1,b:2", "spark.master=yarn", "seed=0"):  # fmt: skip
        load(verbs.CurateConfig, None, [item])
