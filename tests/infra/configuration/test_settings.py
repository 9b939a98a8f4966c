import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.configuration.settings import Settings, Shared, build, load, parse_sets
from headrace.infra.errors import UsageError


class Inner(Settings):
    threshold: float = 0.7
    targets: dict[str, float] = {"general": 0.5, "legal": 0.5}


class Verb(Shared):
    semantics: Inner = Inner()


def test_later_wins(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("semantics: {threshold: 0.5}\nseed: 1\n")
    s = load(Verb, file, ["seed=2"], {"seed": 0, "spark": {"master": "local[1]"}})
    assert (s.seed, s.semantics.threshold, s.spark.master) == (2, 0.5, "local[1]")


def test_a_mapping_given_as_value_replaces_the_default() -> None:
    s = load(Verb, None, ["semantics.targets={medical: 0.9}"])
    assert s.semantics.targets == {"medical": 0.9}


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["semantics.treshold=0.5"], "semantics.threshold"),
        (["spark.mastr=x"], "spark.master"),
        (["sed=3"], "seed"),
    ],
)
def test_an_unknown_key_names_the_nearest(sets: list[str], said: str) -> None:
    with pytest.raises(UsageError) as e:
        load(Verb, None, sets)
    assert said in e.value.hint and e.value.code == 2


def test_a_wrong_type_names_key_and_value() -> None:
    with pytest.raises(UsageError, match=r"semantics\.threshold = 'high'"):
        load(Verb, None, ["semantics.threshold=high"])


@pytest.mark.parametrize("text", ["a: [", "!!python/object/apply:os.system ['true']", "- 1", "\t"])
def test_a_file_that_is_no_mapping_of_plain_yaml_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(UsageError):
        load(Verb, file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(Verb, tmp_path / "none.yaml")


@given(st.text(max_size=40))
def test_a_set_parses_or_is_refused(item: str) -> None:
    with contextlib.suppress(UsageError):
        assert len(parse_sets([item])) == 1


@given(
    st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), min_size=1, max_size=4), st.integers()
)
def test_a_dotted_key_nests(parts: list[str], value: int) -> None:
    found: Any = parse_sets([f"{'.'.join(parts)}={value}"])[0].data
    for part in parts:
        found = found[part]
    assert found == value


class _Verb(Settings):
    threshold: float = 0.5


class _Rules(Settings):
    rules: tuple[_Verb, ...] = ()
    curate: _Verb = _Verb()


@pytest.mark.parametrize(
    ("model", "data", "hint"),
    [
        (_Verb, {"curate": {"threshold": 1}}, "leave out `curate.`"),
        (_Rules, {"threshold": 1}, "rules.threshold or curate.threshold"),
        (_Rules, {"rules": [{"treshold": 1}]}, "did you mean rules.threshold?"),
        (_Rules, {"curate": {"treshold": 1}}, "did you mean curate.threshold?"),
    ],
)
def test_the_key_that_was_meant_is_named(model: Any, data: dict[str, Any], hint: str) -> None:
    with pytest.raises(UsageError) as error:
        build(model, data)
    assert hint in error.value.hint
