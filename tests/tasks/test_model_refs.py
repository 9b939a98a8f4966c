from pathlib import Path

import pytest

from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import InputError, UsageError
from headrace.tasks.input_checks import reference_of
from headrace.tasks.model_refs import resolve_model


def test_a_run_folder_stands_for_its_export(tmp_path: Path) -> None:
    export = tmp_path / "run" / "export"
    export.mkdir(parents=True)
    (export / "config.json").write_text("{}")
    assert resolve_model(str(tmp_path / "run"), Shared()) == export
    assert resolve_model(str(export), Shared()) == export


def test_what_is_no_model_is_refused(tmp_path: Path, state: Path) -> None:
    with pytest.raises(InputError, match="no export"):
        resolve_model(str(tmp_path), Shared())
    with pytest.raises(UsageError, match="no champion"):
        resolve_model("champion", Shared())
    with pytest.raises(UsageError, match="no challenger"):
        resolve_model("challenger", Shared())


def test_a_slip_in_an_alias_names_the_alias(state: Path) -> None:
    with pytest.raises(UsageError) as e:
        resolve_model("champoin", Shared())
    assert e.value.hint == "did you mean champion?"


def test_a_comparison_without_a_champion_names_the_option(state: Path) -> None:
    assert reference_of("r", Shared()) == "r"
    with pytest.raises(UsageError) as e:
        reference_of(None, Shared())
    assert "--reference" in e.value.hint
