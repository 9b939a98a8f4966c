"""Rounds of retraining when events meet and processes are killed; no server, no training.

A world of plain values stands in for the registry, for training and for Prefect. The files of the
state folder are the real ones. A kill is an exception that no code handles, raised before or after
one of the writes; the next attempt starts from what the files say.
"""

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kill import Killed

from headrace.flows import retrain_round as flow
from headrace.flows import retrain_triggers as triggers
from headrace.infra import storage
from headrace.infra.artifacts import Decision, Model, Release, Retraining, Totals, Verdict
from headrace.infra.errors import (
    DamagedWindowError,
    DeadlineError,
    HeadraceError,
    InputError,
    UnreadableError,
)
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration.settings import InboxSettings, RetrainConfig
from headrace.tasks.gate.promotion import Gated
from headrace.tasks.retraining import inbox as inbox_module
from headrace.tasks.retraining import round_start, rounds
from headrace.tasks.retraining.alert import Alert
from headrace.tasks.retraining.inbox import next_windows, open_windows
from headrace.tasks.retraining.round import Retrained
from headrace.tasks.retraining.rounds import State
from headrace.tasks.retraining.verdicts import Finding, keep_verdict
from headrace.tasks.retraining.window import Window

DRIFT = Finding(drift=True, p_value=0.001, effect=0.4, drifted=("topic",), report="/d")
SETTINGS = RetrainConfig.model_validate({"cooldown_minutes": 0, "budget": {"minutes": None}})
CHILD = Release(
    id="0" * 12,
    folder="/r",
    totals=Totals(read=9, kept=9, rejected={}, unreadable=0),
    input_bytes=9,
)
TRAINED = Model(
    stage="ewc", folder="/f", retraining=Retraining(steps=1, tokens=10, metrics={}, judged_on="all")
)


class World:
    """A registry, what each version knows, and a process that can be killed."""

    def __init__(self) -> None:
        self.champion = "1"
        self.parents: dict[str, str | None] = {"1": None}
        self.known: dict[str, frozenset[str]] = {"1": frozenset()}
        self.versions: dict[tuple[str, frozenset[str]], str] = {}
        self.decided: set[str] = set()
        self.moves: list[str] = []
        self.gate: Verdict = "promote"
        self.manual = False
        self.damaged: set[str] = set()
        self.unreadable: set[str] = set()
        self.out_of_time = False
        self.drifts = True
        self.notices: list[str] = []
        self.waiting_alerts: list[Alert] = []
        self.before_gate: Callable[[], None] = lambda: None
        self.writes, self.kill_at = 0, -1

    def write(self) -> None:
        """Pass a moment at which a kill makes a difference."""
        self.writes += 1
        if self.writes == self.kill_at:
            raise Killed

    def move(self, version: str, knows: frozenset[str]) -> None:
        self.parents.setdefault(version, self.champion)
        self.known[version] = self.known[self.champion] | knows
        self.champion = version
        self.moves.append(version)

    def person_promotes(self) -> None:
        """Another version becomes champion."""
        self.move(f"p{len(self.moves)}", frozenset())

    def version(self, number: str) -> SimpleNamespace:
        parent = self.parents[number]
        tags = {"parent_version": parent} if parent else dict[str, str]()
        return SimpleNamespace(number=number, tags=tags, export=f"/e{number}", release="/r/x/y")


def texts(*windows: str) -> frozenset[str]:
    return frozenset(s.uri for s in Window.of(*windows).sources())


def learn(world: World, start: str, text: frozenset[str]) -> Retrained:
    """What curation, training, gate and promotion come to."""
    if text & world.damaged:
        raise DamagedWindowError("keeps 1 of 20 records", "collect more text")
    if world.out_of_time:
        raise DeadlineError("the minutes are used up", "")
    world.before_gate()
    world.write()  # the weights
    version = world.versions.setdefault((start, text), str(len(world.versions) + 2))
    world.parents.setdefault(version, start)
    waiting, overtaken, decided = False, False, version in world.decided
    if world.gate == "promote" and not decided:
        if world.manual:
            waiting = True
        elif world.champion == start:
            world.move(version, text)
        elif world.champion != version:
            overtaken = True
    world.write()  # the promotion
    decision = Decision(
        decision=world.gate, policy="p", champion="a", challenger="b", metrics={},
        reasons=("a rule",), confidence=0.95, resamples=9, seed=1, folder="/f",
        record="decision.json",
    )  # fmt: skip
    gated = Gated(
        decision=decision,
        verdict="inconclusive" if overtaken else world.gate,
        reasons=("a rule",),
        run_id="r",
        version=version,
        champion=world.champion,
        waiting=waiting,
        decided_before=decided,
        overtaken=overtaken,
    )
    return Retrained(None, world.champion, CHILD, TRAINED, gated)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    w = World()
    models = SimpleNamespace(champion=lambda: w.version(w.champion), version=w.version)
    monkeypatch.setattr(rounds, "registry", lambda _: models)

    def compare(windows: list[str], settings: RetrainConfig) -> round_start.Compared:
        new: list[str] = []
        known: list[str] = []
        unreadable: dict[str, HeadraceError] = {}
        for window in windows:
            try:
                text = texts(window)
                if text & w.unreadable:
                    raise UnreadableError(f"{window} can't be read", "")
            except InputError as error:
                unreadable[window] = error
                continue
            (known if text <= w.known[w.champion] else new).append(window)
        return round_start.Compared(new, known, unreadable)

    monkeypatch.setattr(triggers, "compare_windows", compare)
    monkeypatch.setattr(triggers, "still_drifts", lambda *_: w.drifts)

    def teach(job: flow.RetrainJob, champion: str, chain: str | None) -> Retrained:
        if not job.force and not w.drifts:
            return Retrained(Finding(drift=False), w.champion)
        return learn(w, champion, texts(*job.window.names))

    monkeypatch.setattr(flow, "_teach", teach)

    def gather(alert: Alert) -> list[Alert]:
        alerts, w.waiting_alerts = [alert, *w.waiting_alerts], []
        return alerts

    monkeypatch.setattr("headrace.tasks.retraining.alerts.gather", gather)
    monkeypatch.setattr(
        "headrace.flows.run_states.report", lambda s, f, state, *a: w.notices.append(str(state))
    )
    monkeypatch.setattr("headrace.flows.run_states.again", lambda *_: "retry")
    for name in ("show_ledger", "show_gate", "rename", "show_text", "show_links"):
        monkeypatch.setattr(f"headrace.tasks.reporting.run_artifacts.{name}", lambda *a: None)
    for module, name in ((storage, "write_json"), (storage, "append_line"), (os, "rename"),
                         (Path, "unlink")):  # fmt: skip
        monkeypatch.setattr(module, name, counted(w, getattr(module, name)))
    return w


def counted(world: World, write: Callable[..., Any]) -> Callable[..., Any]:
    """A write before and after which a kill may come."""

    def counting(*args: Any, **kwargs: Any) -> Any:
        world.write()
        result = write(*args, **kwargs)
        world.write()
        return result

    return counting


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two judged windows of an inbox, each of one file."""
    monkeypatch.setattr(inbox_module, "_SECOND_LOOK", 0.0)
    inbox = home().inbox
    inbox.mkdir(parents=True)
    for name in ("a", "b"):
        (inbox / f"{name}.jsonl").write_text('{"text": "one"}\n')
        os.utime(inbox / f"{name}.jsonl", (1, 1))
        (window,) = next_windows(str(inbox), InboxSettings(settle_seconds=0))
        keep_verdict(window, DRIFT)
    return open_windows()


def alert(window: str | None) -> Alert:
    return Alert(window=window)


def schedule(force: bool = True) -> Any:
    return triggers.on_window(None, force, SETTINGS)


def waiting() -> list[str | None]:
    """Windows of the alerts in the outbox."""
    files = sorted(home().outbox.glob("*.json"))
    return [json.loads(p.read_text())["payload"]["window"] for p in files]


@pytest.mark.parametrize(
    ("change", "state", "closed"),
    [
        ({}, "Promoted", True),
        ({"gate": "reject"}, "Refused", True),
        ({"gate": "inconclusive"}, "Refused", True),
        ({"manual": True}, "Waiting", True),
        ({"decided": {"2"}}, "Decided", True),
        ({"drifts": False}, "NoDrift", False),
        ({"damaged": True}, "Refused", True),
        ({"known": True}, "Cached", True),
        ({"unreadable": True}, "fails", True),
        ({"out_of_time": True}, "Later", False),
        ({"overtaken": True}, "Overtaken", False),
    ],
)
def test_what_becomes_of_an_alert_and_of_its_window(
    world: World, windows: list[str], change: dict[str, Any], state: str, closed: bool
) -> None:
    (window, other), text = windows, texts(windows[0])
    for name, value in change.items():
        if name in ("damaged", "unreadable"):
            setattr(world, name, set(text))
        elif name == "known":
            world.known["1"] = text
        elif name == "overtaken":
            world.before_gate = world.person_promotes
        else:
            setattr(world, name, value)
    if state == "fails":
        with pytest.raises(UnreadableError):
            triggers.on_alert(alert(window), SETTINGS)
    else:
        assert triggers.on_alert(alert(window), SETTINGS).name == state
    assert open_windows() == ([other] if closed else [window, other])
    assert waiting() == ([window] if state in ("Later", "Overtaken") else [])
    told = {"Refused", "Waiting", "Overtaken"} & {state}
    assert set(world.notices) == told
    if state not in ("Later",):
        assert not running()


def running() -> list[rounds.Round]:
    """Rounds that are under way."""
    return [r for r in rounds.stored() if r.state is State.UNDER_WAY]


@pytest.mark.parametrize("gate", ["promote", "reject", "manual", "damaged"])
@pytest.mark.parametrize("trigger", ["alert", "schedule"])
@pytest.mark.parametrize("at", range(1, 40))
def test_a_kill_at_any_write_changes_nothing_of_the_end(
    world: World, windows: list[str], gate: str, trigger: str, at: int
) -> None:
    if gate == "manual":
        world.manual = True
    elif gate == "damaged":
        world.damaged = set(texts(windows[0]) | texts(windows[1]))
    else:
        world.gate = cast("Verdict", gate)
    event = (
        schedule
        if trigger == "schedule"
        else lambda: triggers.on_alert(alert(windows[0]), SETTINGS)
    )
    world.kill_at = world.writes + at
    try:
        state = event()
    except Killed:
        world.kill_at = -1
        state = event()
    taught = windows if trigger == "schedule" else windows[:1]
    wants = {"promote": "Promoted", "reject": "Refused", "manual": "Waiting", "damaged": "Refused"}
    # After a kill behind the end the window is closed, or known to the champion.
    assert state.name in (wants[gate], "Cached")
    assert open_windows() == [w for w in windows if w not in taught]
    assert world.moves == (["2"] if gate == "promote" else [])
    assert len(world.versions) == (0 if gate == "damaged" else 1)
    assert not running() and waiting() == []
    if wants[gate] in ("Refused", "Waiting"):
        assert wants[gate] in world.notices, "what needs a person was reported"


EVENTS: dict[str, Callable[[World, list[str]], Any]] = {
    "alert on a": lambda w, x: triggers.on_alert(alert(x[0]), SETTINGS),
    "alert on b": lambda w, x: triggers.on_alert(alert(x[1]), SETTINGS),
    "alert on all": lambda w, x: triggers.on_alert(alert(None), SETTINGS),
    "schedule": lambda w, x: schedule(),
    "command on a": lambda w, x: command(w, x[0]),
    "person promotes": lambda w, x: w.person_promotes(),
}


def command(world: World, window: str) -> Retrained:
    """`headrace retrain --force --window`."""
    return flow.retrain_once(
        flow.RetrainJob(window=Window.of(window), force=True, settings=SETTINGS)
    )


@pytest.mark.parametrize(("first", "second"), list(itertools.product(EVENTS, EVENTS)))
@pytest.mark.parametrize("killed", [0, 1, 3, 5, 6, 7, 8, 10])
def test_whatever_two_events_meet_each_text_is_learned_once(
    world: World, windows: list[str], first: str, second: str, killed: int
) -> None:
    """The first is killed at some moment, the second comes in between, then the first resumes."""
    world.kill_at = world.writes + killed if killed else -1
    try:
        EVENTS[first](world, windows)
        world.kill_at = -1
        EVENTS[second](world, windows)
    except Killed:
        world.kill_at = -1
        EVENTS[second](world, windows)
        if first != "person promotes":
            EVENTS[first](world, windows)
    while waiting():  # what was deferred comes again
        (path, *_) = sorted(home().outbox.glob("*.json"))
        window = json.loads(path.read_text())["payload"]["window"]
        path.unlink()
        assert triggers.on_alert(alert(window), SETTINGS).name in ("Promoted", "Cached")
    schedule()
    assert open_windows() == [] and not running()
    assert world.known[world.champion] >= texts(windows[0]) | texts(windows[1])


def test_an_overtaken_round_starts_again_from_the_new_champion(
    world: World, windows: list[str]
) -> None:
    world.before_gate = world.person_promotes
    assert triggers.on_alert(alert(windows[0]), SETTINGS).name == "Overtaken"
    assert world.champion == "p0" and waiting() == [windows[0]]
    world.before_gate = lambda: None
    assert triggers.on_alert(alert(windows[0]), SETTINGS).name == "Promoted"
    assert world.parents[world.champion] == "p0"


def test_alerts_that_wait_are_learned_together(world: World, windows: list[str]) -> None:
    world.waiting_alerts = [alert(windows[1])]
    assert triggers.on_alert(alert(windows[0]), SETTINGS).name == "Promoted"
    assert len(world.moves) == 1 and open_windows() == []


def test_a_round_that_a_kill_cut_short_is_finished_first_and_the_rest_waits(
    world: World, windows: list[str]
) -> None:
    world.out_of_time = True
    assert triggers.on_alert(alert(windows[0]), SETTINGS).name == "Later"
    world.out_of_time = False
    for path in home().outbox.glob("*.json"):
        path.unlink()
    world.waiting_alerts = [alert(windows[1])]
    assert triggers.on_alert(alert(windows[0]), SETTINGS).name == "Promoted"
    assert open_windows() == [windows[1]] and waiting() == [windows[1]]


def test_without_a_window_nothing_is_taught_and_the_run_says_so() -> None:
    state = triggers.on_window(None, False, RetrainConfig())
    assert state.is_completed() and state.name == "Cached" and "no window" in str(state.message)


def test_a_damaged_window_is_not_the_verdict_of_those_beside_it(
    world: World, windows: list[str]
) -> None:
    """Several windows are learned at once; damaged together, each is tried by itself."""
    world.damaged = set(texts(windows[1]))
    assert schedule().name == "Promoted" and world.notices == ["Refused"]
    assert list(world.versions) == [("1", texts(windows[0]))]
    states = {w: r.state for r in rounds.stored() for w in r.closed}
    assert states == {windows[0]: State.PROMOTED, windows[1]: State.REFUSED}


def test_a_command_leaves_its_windows_to_the_schedule(world: World, windows: list[str]) -> None:
    world.gate = "reject"
    assert command(world, windows[0]).outcome is State.REFUSED
    assert open_windows() == windows and rounds.stored() == []
