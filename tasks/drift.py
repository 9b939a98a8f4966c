"""Drift: the texts on both sides scored alike, compared, reported, and the alert's event."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace.expectations import drift, drift_report
from headrace.expectations.drift import DriftSettings
from headrace.infra import releases, storage
from headrace.infra.errors import UsageError, ValidationError
from headrace.infra.home import home
from headrace.infra.lineage import code_version
from headrace.infra.settings import Shared
from headrace.spark_jobs import inventory_job, scan_job
from headrace.spark_jobs.settings import CurateSettings, Source
from headrace.tasks import records
from headrace.tasks.curation import release_of
from headrace.tasks.recording import registry
from headrace.tasks.step import once, run_folder, step
from headrace.tasks.windows import window_sources

_COLUMNS = ("text", "semantic_score", "bias_score", "domain_score", "content_hash")


def reference_of(reference: str | None, shared: Shared) -> str:
    """The reference that is meant: the champion's corpus unless one is given.

    Raises:
        UsageError: none is given and there is no champion yet.
    """
    if reference:
        return reference
    try:
        return registry(shared.model.name).champion().release
    except UsageError as error:
        raise UsageError(error.message, f"give --reference URI, or {error.hint}") from None


@step("compare with the reference")
def compare_texts(
    reference: str,
    window: str | tuple[Source, ...],
    settings: DriftSettings,
    curate: CurateSettings,
    shared: Shared,
) -> dict[str, Any]:
    """The answer of `headrace monitor`; the same comparison is made once."""
    records.thresholds_used("drift", settings.model_dump(mode="json"))
    sides = [_side(reference, curate, shared), _side(window, curate, shared)]
    identity = [side.identity for side in sides]
    versions = [code_version("expectations"), code_version("spark_jobs")]
    folder = run_folder("monitor", [identity, settings.model_dump(), shared.seed, versions])
    return once(folder, "drift.json", lambda: _compare(sides, folder, settings, shared.seed))


def _compare(
    sides: list[_Side], folder: Path, settings: DriftSettings, seed: int
) -> dict[str, Any]:
    old, new = sides
    verdict = drift.compare(old.table(), new.table(), settings, seed)
    report = folder / "report.html"
    storage.write_bytes(report, drift_report.render(verdict, old.name, new.name).encode())
    return {
        "drift": verdict.drift,
        "p_value": verdict.p_value,
        "effect": verdict.effect,
        "drifted": list(verdict.drifted),
        "report": str(report),
        "sections": drift_report.dump_sections(verdict, str(folder / "sections.json")),
        "tests": [asdict(t) for t in verdict.tests],
    }


def content_hashes(text: str, curate: CurateSettings, shared: Shared) -> pa.Array:
    """The distinct content hashes of a release with its ancestors, or of raw text."""
    return pc.unique(_side(text, curate, shared).table()["content_hash"].combine_chunks())


class _Side:
    """One of the two texts: a release with its ancestors, or raw input."""

    def __init__(self, name: str, identity: Any, table: Any) -> None:
        self.name, self.identity, self.table = name, identity, table


def _side(what: str | tuple[Source, ...], curate: CurateSettings, shared: Shared) -> _Side:
    if isinstance(what, str) and releases.is_release(what):
        corpus = releases.lineage(what)
        name = f"release {releases.manifest(what)['release_id'][:12]}"
        return _Side(name, [Path(r).name for r in corpus], lambda: _of_releases(corpus))
    sources = window_sources(what)
    # Nothing is written: the output only completes the job.
    job = release_of(sources, str(home().root / "windows"), curate, shared)
    inventory = inventory_job.take(job)
    name = ", ".join(s.identity or s.uri for s in sources)
    return _Side(name, inventory.release_id, lambda: scan_job.scan_here(job))


def _of_releases(corpus: list[str]) -> pa.Table:
    """Kept and rejected records alike, as a window's raw text is before any verdict."""
    tables = [releases.read_scored(release, _COLUMNS) for release in corpus]
    table = pa.concat_tables(tables)
    if table.num_rows == 0:
        raise ValidationError("the reference holds no records", "give another --reference")
    return table


def _release_id(reference: str) -> str | None:
    """The id of a release; raw text has none."""
    if not releases.is_release(reference):
        return None
    return str(releases.manifest(reference)["release_id"])


def alert_payload(window: str, reference: str, verdict: dict[str, Any]) -> dict[str, Any]:
    """What the drift event says of a verdict."""
    return {**verdict, "window": window, "reference": _release_id(reference)}
