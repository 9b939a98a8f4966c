from pathlib import Path
from typing import Any

import pytest

from headrace.infra.errors import HeadraceError, InputError
from headrace.infra.state.state_dir import home
from headrace.tasks.task import _is_transient, relative


class State:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    def result(self) -> None:
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("error", "again"),
    [(InputError("a"), False), (HeadraceError("killed"), True), (OSError("disk"), True)],
)
def test_only_what_is_transient_is_tried_again(error: BaseException, again: bool) -> None:
    state: Any = State(error)
    assert _is_transient(None, None, state) is again


def test_a_path_in_the_state_folder_is_stored_relative_to_it(state: Path) -> None:
    assert relative(home().runs / "sft-1") == "runs/sft-1"
    assert relative("/elsewhere/x") == "/elsewhere/x"
