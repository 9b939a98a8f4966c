from pathlib import Path

import pytest

from headrace.infra.errors import HeadraceError, InputError
from headrace.tasks.task import _is_transient, once, relative, run_folder


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
    assert _is_transient(None, None, State(error)) is again


def test_once_is_once(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> dict[str, int]:
        made.append(1)
        return {"n": len(made)}

    assert once(tmp_path / "f", "a.json", make) == once(tmp_path / "f", "a.json", make) == {"n": 1}


def test_nothing_is_stored_of_what_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        once(tmp_path, "a.json", lambda: {"n": 1 // 0})
    assert once(tmp_path, "a.json", lambda: {"n": 2}) == {"n": 2}


def test_the_same_work_has_the_same_folder(state: Path) -> None:
    assert run_folder("sft", {"a": 1}) == run_folder("sft", {"a": 1})
    assert run_folder("sft", {"a": 1}) != run_folder("sft", {"a": 2})
    assert relative(run_folder("sft", 1)).startswith("runs/sft-")
