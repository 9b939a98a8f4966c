"""The end of `headrace status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.flows.recorded_lines import decided
from headrace.flows.summaries.layout import NAMED, rule, table
from headrace.infra.registry.rules import Decision as RecordedDecision

if TYPE_CHECKING:  # a command's last screen imports nothing heavy
    from headrace.tasks.operations.status import Status, Waiting


def _or(value: str | None) -> str:
    return value if value else "none"


def _waiting(versions: Sequence[Waiting]) -> list[tuple[str, str]]:
    return [
        ("waits for a person", f"version {v.version}, compared with "
         + (f"version {v.compared_with}" if v.compared_with else "no model")
         + (f": {v.report}" if v.report else ""))
        for v in versions
    ]  # fmt: skip


def _parts(sizes: dict[str, int]) -> str:
    """What takes the room, the largest first; a hundredth of all is not worth a word."""
    least = sum(sizes.values()) / 100
    shown = [f"{part} {size / 1e9:.2f} GB" for part, size in sizes.items() if size >= least]
    return ", ".join(shown) + "; `headrace gc --keep 3 --dry-run` says what can go"


def status_screen(status: Status) -> str:
    """The end of `headrace status`."""
    champion, window, last, disk = status.champion, status.window, status.decision, status.disk
    rows = [
        ("champion", f"version {champion.version}, release {_or(champion.release_id)}, "
         f"since {_or(champion.since)}" if champion else "none yet: `headrace run`"),
        *((("it lacks", champion.missing),) if champion and champion.missing else ()),
        *(_waiting(status.waiting) or [("waits for a person", "none")]),
        ("last window", f"{window.window}: {'DRIFT' if window.drift else 'no drift'}, "
         f"{window.judged}" if window else "none"),
        ("last decision", decided(RecordedDecision.of(last)) if last else "none"),
        ("runs", _or(", ".join(f"{r.name} ({r.flow})" for r in status.running))),
        ("next", _or(", ".join(f"{r.flow} at {r.at}" for r in status.next))),
        *(("paused", what) for what in status.paused),
        *(("alert waits", f"{a.window}: {a.why}") for a in status.alerts),
        *(("alert's run", f"{_or(r.windows[0])}: {r.name}, {r.state}")
          for r in status.alert_runs[:NAMED]),
        ("stack", f"{_or(status.stack)}{status.stack_fault or ''}"),
        ("disk", f"{disk.state_bytes / 1e9:.2f} GB here, {disk.free_bytes / 1e9:.1f} GB free"),
        *((("of it", _parts(disk.parts)),) if disk.parts else ()),
    ]  # fmt: skip
    return "\n".join([rule("status"), *table(rows)])
