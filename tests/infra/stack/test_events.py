import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.net.ports import free_port
from headrace.infra.stack import events, prefect_api
from headrace.infra.stack.events import Payload, drift_event, send_outbox, to_outbox
from headrace.infra.state.state_dir import home

listens: list[Any] = []
"""The automations of the server."""
runs: list[str] = []
"""The windows of the runs that it made of events."""


refuses: dict[str, int] = {}
"""Window -> the status with which the server refuses the event on it."""


def page(rows: list[Any], got: list[Any]) -> list[Any]:
    """The rows that were asked for, 200 at most, as Prefect gives them."""
    body = got[-1][1]
    first = body.get("offset", 0)
    return rows[first : first + min(200, body.get("limit", 200))]


def automation(enabled: bool = True, **trigger: Any) -> dict[str, Any]:
    means = {"prefect.resource.id": "headrace.model.m"}
    expect = ["headrace.drift.detected"]
    return {
        "name": "on drift",
        "enabled": enabled,
        "trigger": {"expect": expect, "match": means, **trigger},
        "actions": [{"type": "run-deployment"}],
    }


@pytest.fixture
def server(json_server: Callable[..., Any]) -> Iterator[tuple[str, list[Any]]]:
    sent: list[Any] = []
    listens[:], runs[:] = [automation()], []
    refuses.clear()

    def answer(path: str, got: list[Any]) -> tuple[int, Any]:
        if "automations" in path:
            return 200, page(listens, got)
        if "flow_runs" in path:
            return 200, page([{"parameters": {"alert": {"window": w}}} for w in runs], got)
        if refuses:
            return refuses.get(got[-1][1][0]["payload"]["window"], 200), None
        sent.extend([path, event] for event in got[-1][1])
        return 200, None

    with json_server(answer) as (url, _):
        yield f"{url}/api", sent


def test_the_event_of_the_contract() -> None:
    event = drift_event("headrace", Payload(window="/w", p_value=0.01)).as_sent()
    assert set(event) == {"id", "event", "resource", "payload", "occurred"}
    assert event["event"] == "headrace.drift.detected"
    assert event["resource"] == {"prefect.resource.id": "headrace.model.headrace"}
    assert event["payload"] == {
        "window": "/w", "reference": None, "p_value": 0.01, "effect": None, "drifted": None,
        "report": None,
    }  # fmt: skip


def test_the_same_alert_waits_once() -> None:
    one = to_outbox(home(), drift_event("m", Payload(window="/w")))
    assert one == to_outbox(home(), drift_event("m", Payload(window="/w")))
    assert one != to_outbox(home(), drift_event("m", Payload(window="/v")))
    assert json.loads(one.read_text())["payload"]["window"] == "/w"
    assert len(list(home().outbox.iterdir())) == 2


def test_what_waits_is_sent_once_and_in_order(server: tuple[str, list[Any]]) -> None:
    api, got = server
    ids = []
    for window in ("/b", "/a"):
        event = drift_event("m", Payload(window=window))
        ids.append(event.id)
        to_outbox(home(), event)
    later = drift_event("m", Payload(window="/later"))
    to_outbox(home(), later, not_before=datetime.now(UTC) + timedelta(hours=1))
    assert send_outbox(home(), api) == 2 and send_outbox(home(), api) == 0
    assert [(path, e["id"]) for path, e in got] == [("/api/events", i) for i in ids]
    assert all("not_before" not in e for _, e in got)
    assert len(list(home().outbox.glob("*.json"))) == 1


@pytest.mark.parametrize(
    "other",
    [
        automation(expect=["something.else"]),
        {**automation(), "trigger": {}},
        {**automation(), "actions": [{"type": "send-notification"}]},
        automation(enabled=False),
        automation(match={"prefect.resource.id": ["headrace.model.n", "headrace.model.m2"]}),
    ],
)
def test_before_an_automation_listens_everything_waits(
    server: tuple[str, list[Any]], other: dict[str, Any]
) -> None:
    api, got = server
    listens[:] = [other]
    path = to_outbox(home(), drift_event("m", Payload(window="/w")))
    assert send_outbox(home(), api) == 0 and path.exists() and got == []
    listens.append(automation(match={"prefect.resource.id": "headrace.model.*"}))
    assert send_outbox(home(), api) == 1 and not path.exists()


def test_an_event_that_the_server_lost_is_sent_again(
    server: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, got = server
    for window in ("/a", "/b"):
        to_outbox(home(), drift_event("m", Payload(window=window)))
    assert send_outbox(home(), api) == 2
    runs[:] = ["/b"]
    assert send_outbox(home(), api) == 0, "the server may still be at it"
    monkeypatch.setattr(events, "PATIENCE", -1.0)
    assert send_outbox(home(), api) == 1 and got[-1][1]["payload"]["window"] == "/a"
    assert len({e["id"] for _, e in got}) == 3, "an event of the same id is the same"
    for _ in range(events.TRIES):
        send_outbox(home(), api)
    assert len(got) == 2 + events.TRIES - 1, "an event that nobody takes is not sent for ever"
    assert all("tries" not in e for _, e in got)
    assert list(home().outbox.glob("**/*.json"))
    monkeypatch.setattr(events, "GIVEN_UP", -1.0)
    assert send_outbox(home(), api) == 0 and not list(home().outbox.glob("**/*.json"))
    (kept,) = (home().quarantine / "outbox" / "sent").iterdir()
    kept.rename(home().outbox / "sent" / kept.name)  # a person puts it back
    runs[:] = ["/a", "/b"]
    assert send_outbox(home(), api) == 0 and not list(home().outbox.glob("**/*.json"))


@pytest.mark.parametrize("status", [400, 409, 413, 422, 404, 500])
def test_an_alert_that_the_server_refuses_holds_up_no_other(
    server: tuple[str, list[Any]], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    api, _ = server
    paths = [to_outbox(home(), drift_event("m", Payload(window=w))) for w in ("/bad", "/good")]
    refuses.update({"/bad": status})
    assert send_outbox(home(), api) == 1 and not paths[1].exists()
    aside = home().quarantine / "outbox" / paths[0].name
    content = status not in (404, 500)
    assert aside.exists() == content and paths[0].exists() != content
    assert str(paths[0]) in caplog.text and str(status) in caplog.text


@pytest.mark.parametrize("status", [401, 403, 408, 429, 502, 504])
def test_no_alert_is_set_aside_where_the_server_would_refuse_any(
    server: tuple[str, list[Any]], status: int
) -> None:
    api, _ = server
    paths = [to_outbox(home(), drift_event("m", Payload(window=w))) for w in ("/one", "/two")]
    refuses.update({"/one": status, "/two": status})
    assert send_outbox(home(), api) == 0 and all(p.exists() for p in paths)
    refuses.clear()
    assert send_outbox(home(), api) == 2


def test_on_a_busy_server_the_automation_and_the_run_are_found(
    server: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, got = server
    listens[:] = [*(automation(expect=["other"]) for _ in range(430)), automation()]
    to_outbox(home(), drift_event("m", Payload(window="/w")))
    assert send_outbox(home(), api) == 1
    monkeypatch.setattr(events, "PATIENCE", -1.0)
    runs[:] = [*(f"/{n}" for n in range(400)), "/w"]
    assert send_outbox(home(), api) == 0 and len(got) == 1, "its run is there: it is done"
    assert not list(home().outbox.glob("**/*.json"))


def test_a_run_with_odd_parameters_hides_no_other(server: tuple[str, list[Any]]) -> None:
    api, _ = server
    to_outbox(home(), drift_event("m", Payload(window="/w")))
    assert send_outbox(home(), api) == 1
    alerts = iter([["/w"], "/w", 3, None])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "every", lambda *_: [{"parameters": {"alert": a}} for a in alerts])
        assert send_outbox(home(), api) == 0


CHANGES: list[dict[str, Any]] = [
    {"id": "abc"}, {"id": ""}, {"payload": {"window": "/w", "p_value": float("nan")}},
    {"payload": {"window": "/w", "effect": "large"}},
    {"payload": {"window": "/w", "drifted": [float("inf")]}},
    {"resource": {"prefect.resource.id": "headrace.model.m", "n": 1}},
    {"occurred": "yesterday"}, {"occurred": "2026-01-01"}, {"occurred": 5}, {"id": None},
    {"resource": "headrace.model.m"}, {"resource": {}}, {"payload": []}, {"payload": {}},
    {"resource": {"prefect.resource.id": 3}}, {"payload": {"window": 3}},
    {"not_before": "soon"}, {"not_before": 7}, {"put_off": 1}, {"tries": "many"},
]  # fmt: skip
DAMAGED = [
    b"", b"{", b"{}", b"[]", b"null", b"3", b"\x00" * 40, b"\xff\xfe", b"[" * 100_000,
    b'{"occurred": 1}', b'{"occurred": "2026-01-01T00:00:00Z"}',
    *(
        json.dumps({**drift_event("m", Payload(window="/w")).as_sent(), **change}).encode()
        for change in CHANGES
    ),
]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
@pytest.mark.parametrize("folder", ["", "sent"])
def test_a_damaged_alert_is_set_aside_and_the_others_are_sent(
    content: bytes, folder: str, server: tuple[str, list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    api, got = server
    stray = home().outbox / folder / "stray.json"
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(content)
    to_outbox(home(), drift_event("m", Payload(window="/w")))
    if not folder:
        assert [a.window for a in events.waiting(home(), api)] == ["/w"]
    assert send_outbox(home(), api) == 1 and len(got) == 1
    kept = home().quarantine / "outbox" / folder / "stray.json"
    assert kept.read_bytes() == content and not stray.exists() and str(kept) in caplog.text


def test_what_is_no_file_in_the_outbox_stops_nothing(server: tuple[str, list[Any]]) -> None:
    api, _ = server
    home().outbox.mkdir(parents=True)
    (home().outbox / "folder.json").mkdir()
    (home().outbox / "link.json").symlink_to("nowhere")
    (home().outbox / "round.json").symlink_to("round.json")
    os.mkfifo(home().outbox / "pipe.json")
    (home().outbox / "notes.txt").write_text("not an alert")
    to_outbox(home(), drift_event("m", Payload(window="/w")))
    assert send_outbox(home(), api) == 1
    assert sorted(p.name for p in (home().quarantine / "outbox").iterdir()) == [
        "folder.json", "link.json", "pipe.json", "round.json",
    ]  # fmt: skip
    assert (home().outbox / "notes.txt").exists()


@given(jump=st.floats(-3e8, 3e8, allow_nan=False), restarts=st.booleans())
def test_an_alert_that_was_put_off_comes_due_wherever_the_clock_stands(
    jump: float, restarts: bool, fake_clock: Callable[[], Any]
) -> None:
    with fake_clock() as clock:
        until = clock.day + timedelta(hours=1)
        shutil.rmtree(home().outbox, ignore_errors=True)
        to_outbox(home(), drift_event("m", Payload(window="/w")), not_before=until)
        clock.set(jump)
        clock.wait(1800)
        (waits,) = events.waiting(home(), None)
        assert waits.event.seconds_left() == pytest.approx(1800)
        if restarts:
            clock.restart()
        clock.wait(3600)
        assert waits.event.seconds_left() <= 0


def test_a_clock_that_was_set_back_hides_no_run_that_an_alert_made(
    server: tuple[str, list[Any]], fake_clock: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, _ = server
    asked: list[Any] = []
    request = prefect_api.request

    def noting(api: str, method: str, path: str, body: Any) -> Any:
        asked.append(body)
        return request(api, method, path, body)

    monkeypatch.setattr(prefect_api, "request", noting)
    with fake_clock() as clock:
        to_outbox(home(), drift_event("m", Payload(window="/w")))
        assert send_outbox(home(), api) == 1
        clock.set(-7200)
        clock.wait(10)
        send_outbox(home(), api)
        after = datetime.fromisoformat(asked[-1]["flow_runs"]["expected_start_time"]["after_"])
        assert after == clock.day - timedelta(seconds=10)
        clock.wait(events.PATIENCE)
        assert send_outbox(home(), api) == 1, "no run came of it: it is sent again"


def test_what_can_not_be_sent_stays() -> None:
    path = to_outbox(home(), drift_event("m", Payload(window="/w")))
    assert send_outbox(home(), f"http://127.0.0.1:{free_port()}/api") == 0
    assert path.exists()
