"""What the page of a flow run shows while it runs and at its end.

Everything that a command would print as progress (the trainers' and Spark's processes included)
goes to the run's log; the newest line of each stage stands in the artifact `progress`, with a bar
where the amount of work is known.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from logging import Logger, LoggerAdapter
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.runtime import flow_run

from headrace.infra import console, storage
from headrace.infra.artifacts import Change, Evaluation, Release
from headrace.infra.console import Record
from headrace.infra.state.state_dir import home
from headrace.infra.visible import markdown, markdown_code, visible
from headrace.tasks.gate.promotion import Gated
from headrace.tasks.mlflow_log import tracking
from headrace.tasks.retraining.verdicts import Finding

_EVERY = 3.0
logger = logging.getLogger(__name__)


@contextmanager
def live() -> Iterator[None]:
    """While it is open, progress goes to the page of this flow run."""
    read, write = os.pipe()
    os.set_inheritable(write, True)
    os.environ |= {console.PROGRESS_FD: str(write), console.RECORDS: "1"}
    # From here on descriptors 1 and 2 are the log file: a worker that is killed takes the pipe
    # that it had given along, and writing there would kill the run as well.
    console.open_console(home().logs / "flows.log")
    page = _Page(get_run_logger())
    thread = threading.Thread(target=page.follow, args=(read,), daemon=True)
    thread.start()
    done = False
    try:
        yield
        done = True
    finally:
        console.say(page.done if done else page.ended)
        thread.join(30)


class _Page:
    """The log and the progress artifacts of a run."""

    def __init__(self, log: Logger | LoggerAdapter[Logger]) -> None:
        self.log, self.stages = log, dict[str, Record]()
        # Lines that nothing else can say: they end the page.
        self.done, self.ended = secrets.token_hex(16), secrets.token_hex(16)
        self.run, self.client = UUID(str(flow_run.id)), get_client(sync_client=True)
        self.table: UUID | None = None
        self.bar: UUID | None = None
        self.shown = 0.0

    def follow(self, descriptor: int) -> None:
        """Read progress lines until the end of the run."""
        end = None
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                record = Record.of(line.rstrip("\n"))
                if record.text in (self.done, self.ended):
                    end = record.text
                    break
                self.log.info(visible(record.line))
                if record.stage:
                    self.stages.pop(record.stage, None)
                    self.stages[record.stage] = record
                    self._show()
        self._show(last=end == self.done)

    def _show(self, last: bool = False) -> None:
        now = time.monotonic()
        if not self.stages or (not last and now - self.shown < _EVERY):
            return
        self.shown = now
        try:
            self._write(last)
        except Exception:  # the page is a convenience: it must not fail the run
            logger.debug("progress artifact", exc_info=True)

    def _write(self, last: bool) -> None:
        stage, newest = next(reversed(self.stages.items()))
        rows = "\n".join(
            f"| {markdown(k)} | {markdown(v.text)} |" for k, v in reversed(self.stages.items())
        )
        text = f"| stage | now |\n|---|---|\n{rows}"
        share = 100.0 if last else _share(newest)
        self.table = self._put(self.table, "progress", "markdown", text, f"Now: {stage}")
        if share is not None:
            self.bar = self._put(self.bar, None, "progress", share, newest.line)

    def _put(
        self, known: UUID | None, key: str | None, kind: str, data: str | float, about: str
    ) -> UUID:
        if known is not None:
            self.client.update_artifact(known, ArtifactUpdate(data=data, description=about))
            return known
        made = self.client.create_artifact(
            ArtifactCreate(key=key, type=kind, data=data, description=about, flow_run_id=self.run)
        )
        return UUID(str(made.id))


def _share(record: Record) -> float | None:
    """Return the percentage done, None if the total isn't known."""
    return min(100.0, 100.0 * record.done / record.total) if record.total else None


def show_ledger(release: Release) -> None:
    """Show the ledger of a release as a table."""
    totals = release.totals
    rows = [{"outcome": "kept", "level": "", "records": totals.kept}]
    rows += [
        {"outcome": "rejected", "level": level, "records": n}
        for level, n in totals.rejected.items()
    ]
    rows += [
        {"outcome": "unreadable", "level": "", "records": totals.unreadable},
        {"outcome": "read", "level": "", "records": totals.read},
    ]
    create_table_artifact(rows, key="ledger", description="What became of every record read")


def show_verdicts(findings: Sequence[Finding]) -> None:
    """Make a table of what a monitor found, a row per window."""
    drift = {None: "unreadable", True: "yes", False: "no"}
    rows = [
        {
            "window": visible(finding.window or ""),
            "drift": drift[finding.drift],
            "p": finding.p_value,
            "effect": finding.effect,
            "what shifted": visible(", ".join(finding.drifted)),
            "report": finding.report and visible(finding.report),
        }
        for finding in findings
    ]
    if rows:
        create_table_artifact(rows, key="windows", description="Each window against the reference")


def show_metrics(evaluation: Evaluation) -> None:
    """Metrics with their intervals."""
    rows = [{"metric": name, **m.as_json()} for name, m in evaluation.metrics.items()]
    create_table_artifact(rows, key="metrics", description="Held-out metrics, 95 % intervals")


def show_gate(gated: Gated, changes: Mapping[str, Change] | None = None) -> None:
    """Show the gate's decision, its grounds, and where to look.

    Args:
        gated: what came of a challenger.
        changes: bits per byte before and after a retraining, by kind of text.
    """
    moved = "the champion moved" if gated.moved else "the champion stays"
    lines = [f"**{gated.verdict.capitalize()}**: {moved}, version {gated.champion}.", ""]
    lines += [f"- {markdown(reason)}" for reason in gated.reasons]
    for side, m in (changes or {}).items():
        lines.append(f"- {side} text: {m.before:.3f} → {m.after:.3f} bits per byte")
    show_text("decision", "\n".join(lines), "The gate's decision")
    page = tracking().run_url(gated.run_id)
    show_links({"gate report": gated.decision.report, "MLflow run": page})


def show_links(links: dict[str, str | None]) -> None:
    """Where to look: pages as links, files by their path."""
    lines = [
        f"- {name}: [{url}]({url})" if url.startswith("http") else f"- {name}: {markdown_code(url)}"
        for name, url in links.items()
        if url
    ]
    show_text("links", "\n".join(lines), "Where to look")


def show_text(key: str, text: str, about: str) -> None:
    """Make a Markdown artifact of text whose foreign parts went through `visible.markdown`."""
    create_markdown_artifact(text, key=key, description=about)


def rename(name: str) -> None:
    """Give this run a name that tells what it made."""
    get_client(sync_client=True).update_flow_run(UUID(str(flow_run.id)), name=name)


def older(path: str, moment: float) -> bool:
    """Whether a file was there before a moment (seconds since 1970)."""
    return storage.changed(path) < moment
