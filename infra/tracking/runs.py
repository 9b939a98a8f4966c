"""MLflow as headrace uses it: a parent run per chain, a child run per stage, a registered model."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import psutil

from headrace.infra import releases, storage
from headrace.infra.json_types import Json
from headrace.infra.lineage import digest
from headrace.infra.net import servers
from headrace.infra.net.http_client import answers
from headrace.infra.state import owner
from headrace.infra.state.state_dir import Home
from headrace.infra.tracking import mlflow_artifacts, mlflow_model

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.store.entities import PagedList

_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Tag: runs are what MLflow shows of the experiment."""
_PROCESS = "headrace.process"
"""Tag of a run at work: host, process id, and when that process began."""
_PARAMS_AT_ONCE = 100
"""Parameters that MLflow takes in one request."""
T = TypeVar("T")
Tags = Mapping[str, str | int | float | None]
"""Tags to set; None is left out."""
logger = logging.getLogger(__name__)


class Tracking:
    """The tracking store of a state folder: SQLite there, or the server that is configured.

    Args:
        home: the state folder.
        uri: where the store is; None: SQLite in the state folder.
        own: whether the store belongs to this state folder, with its artifacts. Those are then
            written into the folder, with a server or without; else MLflow's client sends them.
    """

    def __init__(self, home: Home, uri: str | None = None, own: bool = True) -> None:
        os.environ.setdefault("MLFLOW_ENABLE_TELEMETRY", "false")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        from mlflow import MlflowClient as Client

        logging.getLogger("alembic").setLevel(logging.WARNING)
        home.root.mkdir(parents=True, exist_ok=True)
        self.home, self.uri = home, uri or home.mlflow_uri
        self.artifacts = home.root / mlflow_artifacts.FOLDER if own else None
        self._experiment = servers.EXPERIMENT if own else servers.experiment_name(os.environ)
        if own and not self._served:
            _adopt(self.uri, home)
        self.client: MlflowClient = Client(self.uri, self.uri)

    @property
    def shared(self) -> bool:
        """Whether other state folders may use the store too."""
        return self.artifacts is None

    def _own_key(self, key: str) -> str:
        """Return a lineage key as the store has it: folders that share a store work separately."""
        if not self.shared:
            return key
        return f"{key}-{digest(owner.place(self.home))[:12]}"

    @property
    def _served(self) -> bool:
        return self.uri.startswith(("http://", "https://"))

    def answers(self) -> bool:
        """Whether the store can be reached now; its client would try again for minutes."""
        if not self._served:
            return True
        theirs = servers.their_mlflow(os.environ)
        tls = theirs.tls if theirs is not None else None
        return answers(f"{self.uri.rstrip('/')}/health", tls=tls)

    def experiment(self) -> str:
        """Return the id of headrace's experiment, which is made, or restored if it was deleted.

        On a store of our own its artifacts are named without the state folder's path, so that it
        survives a move of that; another server puts them where it keeps artifacts.
        """
        from mlflow.exceptions import MlflowException

        place = mlflow_artifacts.ROOT if self.artifacts else None
        known = self.client.get_experiment_by_name(self._experiment)
        if known is None:
            try:
                return str(self.client.create_experiment(self._experiment, place, _KIND))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                known = self.client.get_experiment_by_name(self._experiment)
        assert known is not None
        if known.lifecycle_stage == "deleted":
            self.client.restore_experiment(known.experiment_id)
        for key, value in _KIND.items():
            if key not in known.tags:  # an earlier version of headrace made it
                self.client.set_experiment_tag(known.experiment_id, key, value)
        return str(known.experiment_id)

    def find_run(self, key: str) -> str | None:
        """Return the finished run with this lineage key, so that nothing is logged twice."""
        found = self._with_key(key, "status = 'FINISHED'")
        return found[0] if found else None

    def _with_key(self, key: str, condition: str) -> list[str]:
        found = self.client.search_runs(
            [self.experiment()], f"tags.`headrace.key` = '{self._own_key(key)}' and {condition}"
        )
        return [str(run.info.run_id) for run in found]

    def start_run(
        self,
        name: str,
        tags: Tags,
        parent: str | None = None,
        began: int | None = None,
    ) -> str:
        """Id of a run that is at work: a new one, or an interrupted one that continues.

        Args:
            name: what MLflow shows.
            tags: of these `headrace.key`, the lineage key, finds the run that was interrupted.
            parent: run that it belongs to.
            began: start of the work (ms since 1970); None: now.
        """
        all_tags = {k: str(v) for k, v in tags.items() if v is not None}
        all_tags[_PROCESS] = _this_process()
        if parent:
            all_tags["mlflow.parentRunId"] = parent
        key = all_tags.get("headrace.key")
        if key:
            all_tags["headrace.key"] = self._own_key(key)
        if key and (interrupted := self._with_key(key, "status != 'FINISHED'")):
            run_id = interrupted[0]
            if "error" in self.client.get_run(run_id).data.tags:  # of the attempt before
                self.client.delete_tag(run_id, "error")
            self.tag(run_id, all_tags)
            self.client.update_run(run_id, status="RUNNING")
            return run_id
        run = self.client.create_run(self.experiment(), began, all_tags, name)
        return str(run.info.run_id)

    def close_lost(self) -> list[str]:
        """Mark the runs as killed whose process on this machine is gone; their ids.

        They end when they last gave a sign: at their newest figure.
        """
        lost = [run for run in self._running(self.experiment()) if _is_lost(run)]
        for run in lost:
            self.finish(run.info.run_id, "KILLED", self._last_sign(run))
        return [str(run.info.run_id) for run in lost]

    def _last_sign(self, run: Run) -> int:
        """Time of the newest figure of a run, or of its start (ms since 1970)."""
        names = list(run.data.metrics)
        # Figures of the machine come as often as any.
        names = [name for name in names if name.startswith("system/")][:1] or names
        return max(
            (
                point.timestamp
                for name in names
                for point in self.client.get_metric_history(run.info.run_id, name)
            ),
            default=int(run.info.start_time),
        )

    def tag(self, run: str, tags: Tags) -> None:
        """Set tags of a run; None is left out."""
        for key, value in tags.items():
            if value is not None:
                self.client.set_tag(run, key, str(value))

    def log_params(self, run: str, params: Mapping[str, Json]) -> None:
        """Parameters, nested ones by dotted names.

        MLflow never changes a parameter. Where a continued run has another value by now, as of a
        setting that doesn't decide the result, the new one is the tag `param.NAME`.
        """
        from mlflow.entities import Param

        data = self.client.get_run(run).data
        flat = {name: str(value)[:500] for name, value in _flatten(params).items()}
        new = [Param(name, value) for name, value in flat.items() if name not in data.params]
        for at in range(0, len(new), _PARAMS_AT_ONCE):
            self.client.log_batch(run, params=new[at : at + _PARAMS_AT_ONCE])
        for name, value in flat.items():
            shown = data.tags.get(f"param.{name}", data.params.get(name, value))
            if shown != value:
                self.tag(run, {f"param.{name}": value})

    def last_steps(self, run: str) -> dict[str, int]:
        """{metric: the last step that was logged of it}."""
        return {
            name: max(point.step for point in self.client.get_metric_history(run, name))
            for name in self.client.get_run(run).data.metrics
        }

    def log_points(self, run: str, points: Sequence[Point]) -> None:
        """Points of curves. Logging the same again changes nothing."""
        from mlflow.entities import Metric

        metrics = [Metric(p.name, p.value, p.time, p.step) for p in points]
        for at in range(0, len(metrics), 1000):
            self.client.log_batch(run, metrics=metrics[at : at + 1000])

    def log_values(self, run: str, values: Mapping[str, Json]) -> None:
        """Single figures, nested ones by dotted names; what is no number is left out, NaN is not.

        So is what the run has a curve of, whose last point it is.
        """
        known = self.client.get_run(run).data.metrics
        now = milliseconds()
        points = [
            Point(metric_name(name), float(value), now, 0)
            for name, value in _flatten(values).items()
            if isinstance(value, int | float) and name not in known
        ]
        self.log_points(run, points)

    def log_file(self, run: str, path: Path, folder: str = "") -> None:
        """Log a file (or all files of a folder) as an artifact."""
        place = self._folder(run)
        if place is None:
            if path.is_dir():
                self.client.log_artifacts(run, str(path), folder or None)
            elif path.exists():
                self.client.log_artifact(run, str(path), folder or None)
        elif path.is_dir():
            shutil.copytree(path, place / folder, dirs_exist_ok=True)
        elif path.exists():
            storage.write_bytes(place / folder / path.name, path.read_bytes())

    def log_text(self, run: str, text: str, name: str) -> None:
        """Log a text as an artifact, `name` being its path there."""
        place = self._folder(run)
        if place is None:
            self.client.log_text(run, text, name)
        else:
            storage.write_bytes(place / name, text.encode())

    def log_model(self, run: str, export: Path, name: str) -> str:
        """Log an export as a model that MLflow loads and serves, in `model/`; return its URI.

        On a store of our own its weights are no second copy; another server is sent them.
        """
        uri = f"{self.client.get_run(run).info.artifact_uri}/model"
        place = self._folder(run)
        if place is not None:
            mlflow_model.lay_out(export, place / "model", name)
            return uri
        # Beside the export, so that its weights can be links here too.
        staged = export.with_name(f".{export.name}.{os.getpid()}.mlflow")
        try:
            mlflow_model.lay_out(export, staged, name)
            self.client.log_artifacts(run, str(staged), "model")
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return uri

    def _folder(self, run: str) -> Path | None:
        """Where the artifacts of a run lie in the state folder; None: not there."""
        if self.artifacts is None:
            return None
        return mlflow_artifacts.local(self.client.get_run(run).info.artifact_uri, self.artifacts)

    def log_release(self, run: str, release: str) -> None:
        """Log a release as the dataset that a run was given, if it is one."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if not releases.is_release(release):
            return
        manifest = releases.manifest(release)
        counts = {**manifest["totals"], "parent": manifest.get("parent")}
        made = Dataset(
            name=f"release {manifest['release_id'][:12]}",
            digest=manifest["release_id"],
            source_type="local",
            source=json.dumps({"uri": storage.display(release)}),
            profile=json.dumps(counts),
        )
        context = InputTag("mlflow.data.context", "training")
        self.client.log_inputs(run, [DatasetInput(made, [context])])

    def run_url(self, run: str) -> str | None:
        """Return the page of a run on a tracking server; a database has no pages.

        `workflowType` has MLflow show it among trainings, not among traces.
        """
        experiment = self.client.get_run(run).info.experiment_id
        return self._page(f"experiments/{experiment}/runs/{run}?workflowType=machine_learning")

    def model_url(self, name: str, version: str) -> str | None:
        """Return the page of a version of a registered model on a tracking server."""
        return self._page(f"models/{quote(name, safe='')}/versions/{version}")

    def _page(self, place: str) -> str | None:
        if not self._served:
            return None
        return f"{self.uri.rstrip('/')}/#/{place}"

    def version_tags(self) -> Iterator[dict[str, str]]:
        """Yield the tags of every version of every registered model, and of its chain's runs."""
        for version in self._all(self.client.search_model_versions):
            yield dict(version.tags)
            for run in self._family(version.run_id):
                yield dict(run.data.tags)

    def tags_at_work(self) -> Iterator[dict[str, str]]:
        """Yield the tags of the runs that are at work on any machine."""
        experiment = self.client.get_experiment_by_name(self._experiment)
        for run in self._running(experiment.experiment_id) if experiment else ():
            if not _is_lost(run):
                yield dict(run.data.tags)

    def _running(self, experiment: str) -> Iterator[Run]:
        running = "status = 'RUNNING'"
        return self._all(lambda **more: self.client.search_runs([experiment], running, **more))

    def _family(self, run: str | None) -> list[Run]:
        """Return a run, its parent, and all children of the parent; none where it is gone."""
        own = found_or_none(lambda: self.client.get_run(run)) if run else None
        if own is None:
            return []
        parent = own.data.tags.get("mlflow.parentRunId")
        if parent is None:
            return [own]
        place, those = [own.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'"
        children = self._all(lambda **more: self.client.search_runs(place, those, **more))
        above = found_or_none(lambda: self.client.get_run(parent))
        return [*children, *([above] if above else [])]

    @staticmethod
    def _all(search: Callable[..., PagedList[T]]) -> Iterator[T]:
        """Yield what a search finds, page by page."""
        page = search()
        yield from page
        while page.token:
            page = search(page_token=page.token)
            yield from page

    def finish(self, run: str, status: str = "FINISHED", ended: int | None = None) -> None:
        """Close a run; `ended` (ms since 1970): when its work did, None: now."""
        self.client.set_terminated(run, status, ended)


@dataclass(frozen=True)
class Point:
    """One value of a curve."""

    name: str
    value: float
    time: int
    """When it was recorded (ms since 1970)."""
    step: int


def metric_name(name: str) -> str:
    """Return a name that MLflow takes of a figure: those of slices hold what is in the data."""
    return re.sub(r"[^\w\-. :]", "_", name)[:250]


def milliseconds() -> int:
    """Now, as MLflow counts it."""
    return time.time_ns() // 1_000_000


@cache
def _adopt(uri: str, home: Home) -> None:
    """Make what earlier versions of headrace logged here loadable and movable; once a process."""
    if uri != home.mlflow_uri or Path(uri.removeprefix("sqlite:///")).exists():
        mlflow_artifacts.adopt(uri, home.root / mlflow_artifacts.FOLDER)


def _this_process() -> str:
    return f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"


def _started(pid: int) -> str:
    """When a process began: a number that setting the clock doesn't change, where there is one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return f"{psutil.Process(pid).create_time():.0f}"


def _is_lost(run: Run) -> bool:
    """Return whether a run's process was on this machine, and is gone."""
    process, here = run.data.tags.get(_PROCESS, ""), f"{socket.gethostname()} "
    return process.startswith(here) and not _alive(process.removeprefix(here))


def _alive(process: str) -> bool:
    pid, _, started = process.partition(" ")
    try:
        return _started(int(pid)) == started
    except (psutil.Error, ValueError):
        return False


def found_or_none(ask: Callable[[], T]) -> T | None:
    """Return what MLflow has, None where it has none; any other trouble is raised."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def _flatten(values: Mapping[str, Json], prefix: str = "") -> dict[str, Json]:
    out: dict[str, Json] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            out |= _flatten(value, name + ".")
        else:
            out[name] = value
    return out
