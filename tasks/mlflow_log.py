"""Stages and chains in MLflow while they run: parameters, curves, figures, files; each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from headrace.infra import storage
from headrace.infra.errors import DeadlineError, HeadraceError
from headrace.infra.json_types import Json
from headrace.infra.lineage import digest
from headrace.infra.registry import kept_registry
from headrace.infra.registry.versions import Registry
from headrace.infra.stack.endpoints import endpoints
from headrace.infra.state.lock import exclusive
from headrace.infra.state.state_dir import home
from headrace.infra.tracking import provenance
from headrace.infra.tracking.metric_stream import EVERY, MetricStream
from headrace.infra.tracking.runs import Tags, Tracking, milliseconds
from headrace.infra.visible import visible
from headrace.tasks.curves import stage_drawings


def tracking() -> Tracking:
    """Return the tracking store that is used.

    It is another's server where one is named, the stack's while that is up, else the state
    folder's own. Each call looks again: a stack may have come up meanwhile.

    Raises:
        UsageError: it is another than the state folder keeps to.
    """
    found = endpoints(home())
    kept_registry.check(home(), found)
    found.join()
    return Tracking(home(), found.mlflow.url, found.mlflow.own)


def registry(name: str) -> Registry:
    """Return the registered model of this name."""
    return Registry(tracking(), name)


def _source() -> str | None:
    """Return the deployment whose run this is, as `flow/deployment`; None: a command's."""
    from prefect.runtime import deployment, flow_run

    return f"{flow_run.flow_name}/{deployment.name}" if deployment.id else None


def open_chain(name: str, identity: Json, tags: Tags, began: int | None = None) -> str:
    """Return the parent run of a chain or a round: found again, or begun; `chain_run` ends it.

    `began`: when its work did (ms since 1970), None: now.
    """
    store = tracking()
    store.close_lost()
    key = digest([name, identity])
    if found := store.find_run(key):
        return found
    run = store.start_run(
        name, {"headrace.key": key, **provenance.tags(_source()), **tags}, began=began
    )
    _log_input(store, run, tags)
    return run


@contextmanager
def chain_run(run: str) -> Iterator[None]:
    """Close a parent run as failed or killed when its work ends with an error."""
    try:
        yield
    except BaseException as error:
        _close(tracking(), run, error)
        raise


def _close(store: Tracking, run: str, error: BaseException) -> None:
    """End a run whose work ended with an error; a server that doesn't answer is not waited for."""
    ended = isinstance(error, DeadlineError) or not isinstance(error, Exception)
    message = error.message if isinstance(error, HeadraceError) else str(error)
    with suppress(Exception):
        if store.answers() and store.client.get_run(run).info.status == "RUNNING":
            store.tag(run, {"error": visible(message or type(error).__name__, 500)})
            store.finish(run, "KILLED" if ended else "FAILED")


def _close_stage(store: Tracking, stream: MetricStream, error: BaseException) -> None:
    """End a stage's run with an error and its last figures, though it may not be open yet."""
    with suppress(Exception):
        if store.answers():
            run = stream.rest()
            if not stream.recorded:
                _close(store, run, error)


def close_chain(
    run: str, decision: str | None, champion: str | None, **tags: str | int | float | None
) -> None:
    """Tag a parent run with what its chain or round came to, and end it now."""
    store = tracking()
    store.tag(run, {"decision": decision, "champion": champion, **tags})
    store.finish(run)


@contextmanager
def stage_run(
    stage: str,
    folder: str | Path,
    settings: Mapping[str, Json],
    tags: Tags,
    parent: str | None = None,
    variant: str | None = None,
    every: float = EVERY,
) -> Iterator[Callable[[Mapping[str, Json]], str]]:
    """Open the MLflow run of a stage for the block: its figures arrive as it trains.

    Yields a function that records the stage's answer and returns the run's id; call it last. A
    stage that was interrupted continues its run, and one that was recorded keeps it. MLflow is
    needed at the end only: while it doesn't answer, the stage continues.

    Args:
        stage: name of the run.
        folder: run folder of the stage.
        settings: its parameters.
        tags: lineage.
        parent: run of the chain.
        variant: which of several of the same stage and folder it is.
        every: seconds between two looks at the figures.
    """
    folder = Path(folder)
    # A second command on the same folder opens the run once the first has recorded it.
    with (
        exclusive(folder / ".stage.lock", f"waiting for another process that works in {folder}"),
        _stage_run(stage, folder, settings, tags, parent, variant, every) as record,
    ):
        yield record


@contextmanager
def _stage_run(
    stage: str,
    folder: Path,
    settings: Mapping[str, Json],
    tags: Tags,
    parent: str | None,
    variant: str | None,
    every: float,
) -> Iterator[Callable[[Mapping[str, Json]], str]]:
    store, place, span = tracking(), home().relative(folder), _Span(folder)
    key = digest([stage, place, parent, variant])
    all_tags = {"headrace.key": key, "stage": stage, "folder": place, **tags}
    all_tags |= provenance.tags(_source())

    def begin() -> tuple[str, bool]:
        store.close_lost()
        if found := store.find_run(key):
            return found, True
        run = store.start_run(stage, all_tags, parent, span.began)
        _log_input(store, run, tags)
        store.log_params(run, settings)
        return run, False

    stream = MetricStream(store, begin, folder / "metrics.jsonl", every, _steps(settings))

    def record(answer: Mapping[str, Json]) -> str:
        stream.close()
        span.end()
        run = stream.rest()
        if not stream.recorded:
            log_plots(run, stage_drawings(stage, folder))
            store.log_values(run, {k: v for k, v in answer.items() if k != "job"})
            store.finish(run, ended=span.ended)
        return run

    stream.start()
    try:
        yield record
    except BaseException as error:
        if stream.close():
            _close_stage(store, stream, error)
        raise


def record_stage(
    stage: str,
    folder: str | Path,
    answer: Mapping[str, Json],
    settings: Mapping[str, Json],
    tags: Tags,
    parent: str | None = None,
    variant: str | None = None,
    began: int | None = None,
) -> str:
    """Record a stage's measurements so far in MLflow, without curves; a repeat gives the same run.

    `variant`: which of several of the same stage and folder it is. `began`: when the work did (ms
    since 1970), None: now.
    """
    store, place = tracking(), home().relative(Path(folder))
    key = digest([stage, place, parent, variant])
    if found := store.find_run(key):
        return found
    # A run that a kill left half written stays unfinished, so it is neither found nor counted.
    own = {"headrace.key": key, "stage": stage, "folder": place, **provenance.tags(_source())}
    run = store.start_run(stage, {**own, **tags}, parent, began)
    _log_input(store, run, tags)
    store.log_params(run, settings)
    store.log_values(run, answer)
    store.finish(run)
    return run


def _steps(settings: Mapping[str, Json]) -> int | None:
    """Return the steps of a whole stage by its settings, None where they follow from its data."""
    found = settings.get("steps") or settings.get("iterations")
    return found if isinstance(found, int) else None


class _Span:
    """When the work of a run folder began and ended, kept in `span.json` there (ms since 1970)."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "span.json"
        kept = storage.read_json(self._path) if self._path.exists() else {}
        done = folder / "result.json"
        if not kept and done.exists():  # an earlier version of headrace finished it
            kept = {"began": _changed(folder / ".lock", done), "ended": _changed(done)}
        self.began: int = kept.get("began") or milliseconds()
        self.ended: int | None = kept.get("ended")
        if not kept:
            self._keep()

    def end(self) -> None:
        """Mark the work as done, unless it was before."""
        self.ended = self.ended or milliseconds()
        self._keep()

    def _keep(self) -> None:
        storage.write_json(self._path, {"began": self.began, "ended": self.ended})


def _changed(*paths: Path) -> int:
    """When the first of these files that is there was last written (ms since 1970)."""
    return next(int(p.stat().st_mtime * 1000) for p in paths if p.exists())


def log_plots(run: str, drawings: dict[str, str]) -> None:
    """{file name: SVG} as artifacts, which MLflow shows as pictures."""
    store = tracking()
    for name, svg in drawings.items():
        store.log_text(run, svg, f"plots/{name}")


def _log_input(store: Tracking, run: str, tags: Tags) -> None:
    if release := tags.get("release_id"):
        store.log_release(run, str(home().root / "releases" / str(release)))
