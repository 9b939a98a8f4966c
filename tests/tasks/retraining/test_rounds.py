"""Rounds: which states may follow each other, and what a kill leaves to the next try."""

import itertools
import json
from pathlib import Path

import pytest

from headrace.infra.errors import ValidationError
from headrace.infra.state.state_dir import home
from headrace.tasks.mlflow_log import registry, tracking
from headrace.tasks.retraining import rounds
from headrace.tasks.retraining.records import WINDOW
from headrace.tasks.retraining.rounds import (
    CLOSING,
    TRANSITIONS,
    Round,
    State,
    close,
    closed_windows,
    one_round,
    stored,
    under_way,
    unfinished_round,
)

MODEL = "headrace"


def begun(state: State = State.UNDER_WAY, *windows: str, closes: bool = True) -> Round:
    """A stored round in some state."""
    id = f"r{len(stored())}"
    return rounds._store(
        Round(id=id, model=MODEL, windows=windows, champion="1", state=state, closes=closes)
    )


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_only_the_transitions_of_the_table_are_made(before: State, after: State) -> None:
    round_ = begun(before, "/w")
    if after in TRANSITIONS.get(before, ()):
        assert round_.to(after).state is after
        assert [r.state for r in stored()] == [after]
    else:
        with pytest.raises(ValueError, match=f"{before} can't become {after}"):
            round_.to(after)
        assert [r.state for r in stored()] == [before]


@pytest.mark.parametrize("state", State)
def test_a_round_begins_in_the_states_of_the_table_only(state: State) -> None:
    window = str(home().windows / f"000001{WINDOW}")
    if state in TRANSITIONS[None]:
        close(window, state, MODEL)
        assert closed_windows() == ({window} if state in CLOSING else set())
    else:
        with pytest.raises(ValueError, match=f"no round begins as {state}"):
            close(window, state, MODEL)


@pytest.mark.parametrize("closes", [True, False])
@pytest.mark.parametrize("state", State)
def test_a_result_closes_the_windows_where_a_deployment_asked(state: State, closes: bool) -> None:
    window = str(home().windows / f"000001{WINDOW}")
    begun(state, window, closes=closes)
    closed = closes and state not in (State.UNDER_WAY, State.OVERTAKEN, State.ABANDONED)
    assert closed_windows() == ({window} if closed else set())
    assert bool(under_way(MODEL)) == (state is State.UNDER_WAY)


def test_a_round_of_an_older_state_folder_is_under_way() -> None:
    old = {"model": MODEL, "windows": ["/a"], "version": "3"}
    folder = home().windows / "rounds"
    folder.mkdir(parents=True)
    (folder / "abc.json").write_text(json.dumps(old))
    ((round_),) = under_way(MODEL)
    assert round_.champion == "3" and round_.places == ["/a"] and round_.id == "abc"


def test_an_older_record_of_a_round_closes_its_window(tmp_path: Path) -> None:
    window = tmp_path / f"000001{WINDOW}"
    assert not rounds.is_closed(str(window), set())
    (tmp_path / "000001.round.json").write_text('{"outcome": "Promoted", "time": "x"}')
    assert rounds.is_closed(str(window), set())


def promoted(name: str, before: str | None, parent: str | None) -> str:
    """A champion of the model `headrace`."""
    models, store = registry("headrace"), tracking()
    export = home().runs / name / "export"
    export.mkdir(parents=True)
    (export / "config.json").write_text("{}")
    run = store.start_run(name, {})
    store.finish(run)
    version = models.register(run, export, "/r", {"parent_version": parent})
    models.move_champion(version, before, "gate", "better", run)
    return version


def test_a_round_that_was_killed_starts_where_it_started(state: Path) -> None:
    one = promoted("one", None, None)
    windows = [str(state / name) for name in "ab"]
    for window in windows:
        Path(window).write_text('{"text": "one"}\n')

    def killed() -> str:
        with pytest.raises(KeyboardInterrupt), one_round(windows, MODEL) as attempt:
            raise KeyboardInterrupt
        return attempt.champion

    assert killed() == one and unfinished_round(["/c", *reversed(windows)], MODEL) == windows
    assert unfinished_round(windows[:1], MODEL) == []
    assert unfinished_round(windows, "other") == [], "another model's round"
    two = promoted("two", one, one)  # by the first try, which was killed before its end
    assert killed() == one
    three = promoted("three", two, two)
    assert killed() == three, "another champion is to be beaten then"
    with one_round(windows, MODEL) as attempt:
        assert attempt.champion == three
        attempt.state = State.REFUSED
    assert unfinished_round(windows, MODEL) == []
    killed()
    with one_round(["/another"], MODEL):
        pass
    assert unfinished_round(windows, MODEL) == [], "its champion may be champion no more"
    killed()
    Path(windows[0]).unlink()
    assert unfinished_round(windows, MODEL) == [], "it can't go on"
    with pytest.raises(ValidationError), one_round(windows, MODEL):
        raise ValidationError("the window is damaged")
    assert unfinished_round(windows, MODEL) == []


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b'{"model": 1}', b"\xff", None])
def test_a_damaged_record_of_a_round_is_set_aside(content: bytes | None, state: Path) -> None:
    folder = state / "windows" / "rounds"
    version = promoted("one", None, None)
    window = state / "a"
    window.write_text('{"text": "one"}\n')
    with pytest.raises(KeyboardInterrupt), one_round([str(window)], MODEL):
        raise KeyboardInterrupt
    (own,) = folder.glob("*.json")
    for path in (own, folder / "stray.json"):
        path.unlink(missing_ok=True)
        path.mkdir() if content is None else path.write_bytes(content)
    assert unfinished_round([str(window)], MODEL) == [] and not list(folder.iterdir())
    with one_round([str(window)], MODEL) as again:
        assert again.champion == version
    assert len(list((home().quarantine / "windows" / "rounds").iterdir())) == 2
