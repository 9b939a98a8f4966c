"""Drift: the texts on all sides scored alike, compared, reported, and the alert's event."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from headrace.expectations import drift, drift_report
from headrace.expectations.arrival import CREATED, GROUP
from headrace.expectations.drift import Reference
from headrace.expectations.settings import DriftSettings
from headrace.expectations.verdict import DriftVerdict
from headrace.infra import releases, storage
from headrace.infra.artifacts import Artifact, Inputs, produce
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import HeadraceError, ValidationError
from headrace.infra.level_facts import scores
from headrace.infra.registry.versions import Version
from headrace.infra.state.state_dir import home
from headrace.spark_jobs.curate import inventory_job
from headrace.spark_jobs.curate.inventory_job import Inventory
from headrace.spark_jobs.levels import LEVELS
from headrace.spark_jobs.settings import CurateJob, CurateSettings
from headrace.tasks import audit_records
from headrace.tasks.configuration.settings import RetrainConfig
from headrace.tasks.corpus.curation import release_of
from headrace.tasks.corpus.window_scan import scan_window
from headrace.tasks.gate import model_loss
from headrace.tasks.mlflow_log import registry
from headrace.tasks.model_refs import run_of
from headrace.tasks.retraining.taught import Taught, history, weights
from headrace.tasks.retraining.verdicts import Finding, verdict_on
from headrace.tasks.retraining.window import Window
from headrace.tasks.task import step

REPORT = "report.html"
"""The page of a comparison in its folder."""
_PLACE = ("source", "position")
_WATCHED = tuple(score for score in scores(LEVELS) if score.watched)
_COLUMNS = (
    "text", *(score.name for score in _WATCHED), "content_hash", *_PLACE, CREATED, "metadata",
)  # fmt: skip
logger = logging.getLogger(__name__)


class Comparison(Artifact):
    """A comparison of a window with a reference."""

    RECORD = "drift.json"

    finding: Finding

    def parts(self) -> tuple[str, ...]:
        """Return its page."""
        return (str(Path(self.folder) / REPORT),)


@step("compare with the reference")
def compare_texts(
    reference: str,
    window: Window,
    settings: DriftSettings,
    curate: CurateSettings,
    shared: Shared,
    version: str | None = None,
) -> Finding:
    """Compare a window with a reference; the same comparison is made once.

    Where the reference is the corpus of the champion (of `version`, where one is named), the window
    is also compared with what that model was taught last, and by the model's loss.
    """
    audit_records.thresholds_used("drift", settings.model_dump(mode="json"))
    sides = [_side(Window.of(reference), curate, shared), _side(window, curate, shared)]
    known = _known(reference, settings, shared, version)
    inputs = Inputs.deciding(
        "monitor",
        [side.identity for side in sides],
        known.identity if known else None,
        settings.model_dump(),
        shared.seed,
        code=("expectations", "spark_jobs"),
    )

    def make(folder: Path) -> Comparison:
        if known is None:
            verdict = drift.judge(
                Reference(sides[0].name, sides[0].table()), sides[1].table(), (), None, settings,
                shared.seed,
            )  # fmt: skip
        else:
            verdict = _judge(known, sides, settings, shared)
        return Comparison(finding=_reported(verdict, sides[1].name, folder))

    return produce(Comparison, inputs, make).finding


@dataclass(frozen=True)
class _Known:
    """A model, and what it knows."""

    model: Version
    corpus: list[str]
    original: list[str]
    """The part of the corpus that came before any retraining."""
    taught: tuple[Taught, ...]

    @property
    def identity(self) -> list[str | list[str]]:
        """What of it decides a verdict."""
        return [run_of(self.model.export), [t.name for t in self.taught]]


def _known(
    reference: str, settings: DriftSettings, shared: Shared, version: str | None
) -> _Known | None:
    """Return the model whose corpus a reference is; None where it is other text."""
    if not releases.is_release(reference):
        return None
    models = registry(shared.model.name)
    model = models.version(version) if version else models.current()
    if model is None or release_id(model.release) != release_id(reference):
        return None
    return _Known(model, *history(model, models, settings.taught_windows))


def _judge(
    known: _Known, sides: list[_Side], settings: DriftSettings, shared: Shared
) -> DriftVerdict:
    read = functools.cache(_of_release)  # a taught window is a part of the corpus, too
    corpus = _of_releases(known.corpus, read)
    window = drift.sampled(sides[1].table(), settings, shared.seed)
    tables = [_of_releases([t.release], read) for t in known.taught]
    shares = weights(known.taught, [t.num_rows for t in tables])
    export, losses = str(known.model.export), None
    heldout: list[pa.Table | None] = [None] * (1 + len(tables))
    without = None
    if settings.scored_documents:
        try:
            losses = model_loss.window_losses(export, window, settings.scored_documents)
            if losses is None:
                without = "the window keeps too few documents"
            else:
                heldout = [
                    model_loss.corpus_losses(export, known.corpus, shared),
                    *(model_loss.taught_losses(export, t.release) for t in known.taught),
                ]
        except (HeadraceError, OSError) as error:
            # Data drift can be seen without the model.
            losses, heldout = None, [None] * (1 + len(tables))
            without = error.message if isinstance(error, HeadraceError) else str(error)
            logger.warning(
                "the loss of version %s is not measured: %s", known.model.number, without
            )
    return drift.judge(
        Reference(sides[0].name, corpus, heldout=heldout[0]),
        window,
        [
            Reference(f"window {t.name[:12]}", table, share, held)
            for t, table, share, held in zip(known.taught, tables, shares, heldout[1:], strict=True)
        ],
        losses,
        settings,
        shared.seed,
        without,
        _of_releases(known.original, read) if known.taught else None,
    )


def _reported(verdict: DriftVerdict, window: str, folder: Path) -> Finding:
    report = folder / REPORT
    storage.write_bytes(report, drift_report.render(verdict, window, _WATCHED).encode())
    sections = drift_report.store(verdict, str(folder / "verdict.json"))
    return Finding.model_validate(
        {**verdict.to_json(), "report": str(report), "sections": sections}
    )


def content_hashes(text: str, curate: CurateSettings, shared: Shared) -> pa.StringArray:
    """Return the distinct content hashes of a release with its ancestors, or of raw text."""
    hashes = _side(Window.of(text), curate, shared).table()["content_hash"]
    return cast("pa.StringArray", pc.unique(hashes.combine_chunks()))


@dataclass(frozen=True)
class _Side:
    """One of the two texts: a release with its ancestors, or raw input."""

    name: str
    identity: str | list[str]
    """What decides its content."""
    table: Callable[[], pa.Table]


def _side(text: Window, curate: CurateSettings, shared: Shared) -> _Side:
    if release := text.release:
        corpus = releases.lineage(release)
        name = f"release {releases.manifest(release)['release_id'][:12]}"
        return _Side(name, [Path(r).name for r in corpus], lambda: _of_releases(corpus))
    sources = text.sources()
    # The output is where the scan is kept; no release is made there.
    job = release_of(sources, str(home().root / "windows"), curate, shared)
    inventory = inventory_job.take(job)
    name = ", ".join(s.identity or s.uri for s in sources)
    return _Side(name, inventory.release_id, lambda: _scanned(job, inventory))


def _scanned(job: CurateJob, inventory: Inventory) -> pa.Table:
    """Return the records of raw text, with the columns that a release gives."""
    return _grouped(scan_window(job, inventory).select([*_COLUMNS, "lang", "domain", "level"]))


def _of_release(release: str) -> pa.Table:
    """Kept and rejected records alike, as a window's raw text is before any verdict.

    In the order in which they were read, which a release keeps by language and domain only.
    """
    table = releases.read_scored(release, _COLUMNS)
    return _grouped(table.sort_by([(c, "ascending") for c in _PLACE]))


def _of_releases(corpus: list[str], read: Callable[[str], pa.Table] = _of_release) -> pa.Table:
    """Return the records of releases, one after the other; `read` gives those of one."""
    table = pa.concat_tables([read(release) for release in corpus])
    if table.num_rows == 0:
        raise ValidationError("the reference holds no records", "give another --reference")
    return table


def _grouped(table: pa.Table) -> pa.Table:
    """With the source that a record names itself in place of all its metadata."""
    match = pc.extract_regex(table["metadata"], r'"given_source":\s*"(?P<source>(?:[^"\\]|\\.)*)"')
    named = pc.struct_field(match, "source")
    return table.drop_columns(["metadata"]).append_column(GROUP, named)


def release_id(reference: str) -> str | None:
    """Return the id of a release; raw text has none."""
    if not releases.is_release(reference):
        return None
    return str(releases.manifest(reference)["release_id"])


def still_drifts(window: str, settings: RetrainConfig) -> bool:
    """Whether an alert on a window stands, where the champion has been retrained since.

    The champion may have learned the very shift from another window while the alert waited. Another
    monitor's alert stands, and so does one on a window that can't be compared.
    """
    verdict = verdict_on(window)
    champion = registry(settings.model.name).champion()
    if verdict is None or not verdict.drift:
        return True
    if verdict.reference in (None, release_id(champion.release)):
        return True
    try:
        again = compare_texts(
            champion.release,
            Window.of(window),
            settings.monitor,
            settings.curate,
            settings,
            champion.number,
        )
    except HeadraceError:
        return True
    return bool(again.drift)
