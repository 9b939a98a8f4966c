"""What is said of settings that are refused: the place, the fault, and what to write instead."""

import re
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_validator

from headrace.infra.configuration.setting_faults import SettingError, takes, written
from headrace.infra.configuration.setting_tree import leaves
from headrace.infra.configuration.settings import Settings, build, load
from headrace.infra.errors import UsageError
from headrace.tasks.configuration.settings import RunConfig


class Filter(Settings):
    threshold: float = Field(default=0.7, ge=0, le=1)
    """Smallest score that is kept."""
    enabled: bool = True
    mode: Literal["auto", "manual"] = "auto"
    kinds: tuple[str, ...] = ("zh", "en")
    targets: dict[Literal["legal", "medical"], float] = {}
    count: int | None = Field(default=None, gt=0)
    token: str | None = Field(default=None, repr=False)

    @field_validator("kinds")
    @classmethod
    def _some(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if not kinds:
            raise SettingError("nothing is kept", "write [zh, en]")
        return kinds


class Job(Settings):
    semantics: Filter = Filter()
    bias: Filter = Filter(threshold=0.3)
    seed: int = 1
    parts: tuple[Filter, ...] = ()


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("semantics.threshold: 0.5", "line 1, column 1: unknown setting semantics.threshold",
         "write `semantics: {threshold: 0.5}`"),
        ("seed: 1\nsemantics.treshold: 0.5", "line 2, column 1",
         "write `semantics: {threshold: 0.5}`"),
        ("run.semantics.threshold: 1", "unknown setting", "write `semantics: {threshold: 1}`"),
        ("semantics: {targets.legal: 1}", "line 1, column 13",
         "write `semantics: {targets: {legal: 1}}`"),
        ("semantics: {kinds.x: [a]}", "line 1, column 13", "write `semantics: {kinds: {x: [a]}}`"),
        ("semantics:\n  treshold: 1", "line 2, column 3: unknown setting semantics.treshold",
         "did you mean semantics.threshold?"),
        ("threshold: 1", "unknown setting threshold",
         "did you mean semantics.threshold or bias.threshold"),
        ("run: {seed: 2}", "unknown setting run", "leave out `run.` here: the key is seed"),
        ("semantics: {zzzz: 1}", "unknown setting semantics.zzzz",
         "known in semantics: threshold, enabled"),
        ("qqqq: 1", "unknown setting qqqq", "known here: semantics, bias, seed, parts"),
        ("parts:\n- {treshold: 1}", "line 2, column 4: unknown setting parts.0.treshold",
         "did you mean parts.threshold?"),
        ("semantics:\n  threshold: high", "line 2, column 14: semantics.threshold = 'high'",
         "it takes a number from 0 to 1, by default 0.7: Smallest score that is kept."),
        ("bias:\n  threshold: 3", "line 2, column 14", "by default 0.3"),
        ("semantics: {threshold: 1.5}", "= 1.5: it should be less than or equal to 1",
         "from 0 to 1"),
        ("semantics: {threshold: .nan}", "= nan (written .nan): it should be a finite number",
         "0 to 1"),
        ("semantics: {threshold: yes}", "semantics.threshold = 'yes'", "a number"),
        ("semantics: {threshold: true}", "semantics.threshold: true isn't a number",
         "write a number"),
        ("semantics:", "line 1, column 1: semantics has no value", "leave it out"),
        ("semantics: {threshold: }", "semantics.threshold has no value", "leave it out"),
        ("semantics: 3", "semantics = …: it should be a mapping", "known in semantics"),
        ("semantics: {kinds: zh}", "it should be a list", "write a list: [zh]"),
        ("semantics: {kinds: 'zh, en'}", "it should be a list", "write a list: [zh, en]"),
        ("semantics: {kinds: [zh, 7]}", "line 1, column 25: semantics.kinds.1 = 7", 'quotes, "7"'),
        ("semantics: {kinds: [true]}", "semantics.kinds.0 = True (written true)", 'quotes, "true"'),
        ("semantics: {kinds: []}", "line 1, column 20: semantics.kinds: nothing is kept",
         "write [zh, en]"),
        ("semantics: {mode: manul}", "'auto' or 'manual'", "did you mean manual?"),
        ("semantics: {targets: {legl: 1}}",
         "line 1, column 23: unknown key legl in semantics.targets",
         "did you mean legal?"),
        ("semantics: {count: 0}", "greater than 0", "it takes a whole number above 0, or null"),
        ("semantics: {count: 1.5}", "semantics.count = 1.5", "a whole number"),
        ("seed: 1.5\nbias: {threshold: 9}", "line 1, column 7: seed = 1.5", "a whole number"),
        ("seed: x\nbias: {a: 1, b: 2}", "unknown setting bias.a", "known in bias"),
    ],
)  # fmt: skip
def test_a_fault_names_line_and_column_and_what_to_write(
    tmp_path: Path, text: str, said: str, hint: str
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        load(Job, path)
    assert error.value.message.startswith(f"--config {path}, line ")
    assert said in error.value.message and hint in error.value.hint


def test_further_faults_are_counted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\(and 2 more faults\)"):
        build(Job, {"a": 1, "b": 2, "seed": "x"})


def test_the_source_that_gave_the_value_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("bias: {threshold: 9}\nseed: 3")
    with pytest.raises(UsageError, match=r"^--set: seed"):
        load(Job, path, ["seed=x", "bias.threshold=0.5"])
    with pytest.raises(UsageError, match=r"^--config .* line 1, column 19: bias"):
        load(Job, path, ["seed=4", "bias.enabled=false"])
    with pytest.raises(UsageError, match=r"^the options: bias"):
        load(Job, path, ["seed=4"], None, {"bias": {"threshold": 7}})
    with pytest.raises(UsageError, match=r"^settings: seed"):
        build(Job, {"seed": "x"})


@pytest.mark.parametrize(
    "text",
    ["semantics: {token: [s3cret]}", "semantics: s3cret", "semantics.token: s3cret",
     "semantics: {tokn: s3cret}"],
)  # fmt: skip
def test_what_may_be_a_secret_is_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        load(Job, path)
    assert "s3cret" not in error.value.message + error.value.hint


KEYS = [key for key, _, _ in leaves(RunConfig)]
NEAR = st.sampled_from(KEYS).flatmap(
    lambda key: st.tuples(
        st.just(key), st.integers(0, len(key) - 1), st.sampled_from(["", "x", "_", ".", " ", "É"])
    )
)


@given(NEAR)
def test_did_you_mean_never_names_the_same_key(near: tuple[str, int, str]) -> None:
    key, at, letter = near
    typed = key[:at] + letter + key[at + 1 :]
    if typed in KEYS:
        return
    for data in ({typed: 1}, nested(typed)):
        with pytest.raises(UsageError) as error:
            build(RunConfig, data)
        suggested = re.findall(r"did you mean (.*)\?", error.value.hint)
        assert typed not in ([] if not suggested else suggested[0].split(" or "))


def nested(key: str) -> dict[str, Any]:
    first, *rest = reversed(key.split("."))
    value: dict[str, Any] = {first: 1}
    for part in rest:
        value = {part: value}
    return value


def test_what_a_setting_takes_is_said_in_words() -> None:
    said = {key: takes(field) for key, field, _ in leaves(Job)}
    assert said["semantics.threshold"] == "a number from 0 to 1"
    assert said["semantics.count"] == "a whole number above 0, or null"
    assert said["semantics.mode"] == "one of auto, manual"
    assert said["semantics.kinds"] == "a list, each text"
    assert said["semantics.targets"] == "a mapping of one of legal, medical to a number"
    assert said["semantics.enabled"] == "true or false"


def test_values_are_written_as_yaml() -> None:
    assert [written(x) for x in (None, True, ("zh", "en"), {"a": 0.5}, "no", "a: b", 5e-5)] == [
        "null", "true", "[zh, en]", "{a: 0.5}", "'no'", "'a: b'", "5.0e-05",
    ]  # fmt: skip
    assert len(written("long " * 100)) <= 80
