"""MLflow as headrace uses it: one parent run a chain, a child run a stage, one registered model."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headrace.infra import releases, storage
from headrace.infra.home import Home
from headrace.infra.lineage import digest

_EXPERIMENT = "headrace"
logger = logging.getLogger(__name__)


class Tracking:
    """The tracking store of a state folder: SQLite there, or the server that is configured."""

    def __init__(self, home: Home, uri: str | None = None, own: bool = True) -> None:
        os.environ.setdefault("MLFLOW_ENABLE_TELEMETRY", "false")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        from mlflow import MlflowClient

        logging.getLogger("alembic").setLevel(logging.WARNING)
        home.root.mkdir(parents=True, exist_ok=True)
        self.home, self.uri, self.own = home, uri or home.mlflow_uri, own
        self.client: Any = MlflowClient(self.uri, self.uri)

    def experiment(self) -> str:
        """Id of the experiment whose artifacts lie in this state folder.

        MLflow stores their place as an absolute path, so a copy of a state folder gets an
        experiment of its own instead of writing into the original. Another's server keeps them
        where it keeps artifacts.
        """
        if not self.own:
            found = self.client.get_experiment_by_name(_EXPERIMENT)
            return str(found.experiment_id if found else self.client.create_experiment(_EXPERIMENT))
        place = (self.home.root / "mlartifacts").as_uri()
        for name in (_EXPERIMENT, f"{_EXPERIMENT}-{digest(place)[:6]}"):
            found = self.client.get_experiment_by_name(name)
            if found is None:
                return str(self.client.create_experiment(name, artifact_location=place))
            if found.artifact_location == place:
                return str(found.experiment_id)
        raise AssertionError("two state folders with one digest")

    def find_run(self, key: str) -> str | None:
        """The finished run that carries this lineage key, so that nothing is logged twice."""
        found = self._with_key(key, "FINISHED")
        return found[0] if found else None

    def _with_key(self, key: str, status: str) -> list[str]:
        found = self.client.search_runs(
            [self.experiment()], f"tags.`headrace.key` = '{key}' and status = '{status}'"
        )
        return [str(run.info.run_id) for run in found]

    def start_run(self, name: str, tags: Mapping[str, Any], parent: str | None = None) -> str:
        """A new run's id; one with the same lineage key that a kill left running is closed."""
        if key := tags.get("headrace.key"):
            for twin in self._with_key(key, "RUNNING"):
                self.finish(twin, "KILLED")
        all_tags = {"mlflow.runName": name, **{k: str(v) for k, v in tags.items() if v is not None}}
        if parent:
            all_tags["mlflow.parentRunId"] = parent
        run = self.client.create_run(self.experiment(), tags=all_tags, run_name=name)
        return str(run.info.run_id)

    def tag(self, run: str, tags: Mapping[str, Any]) -> None:
        """Set tags of a run; None is left out."""
        for key, value in tags.items():
            if value is not None:
                self.client.set_tag(run, key, str(value))

    def log_params(self, run: str, params: Mapping[str, Any]) -> None:
        """Parameters, nested ones by dotted names."""
        from mlflow.entities import Param

        flat = _flatten(params)
        self.client.log_batch(run, params=[Param(k, str(v)[:500]) for k, v in flat.items()])

    def log_curve(self, run: str, metrics: Path, most: int = 1000) -> None:
        """Every number in the lines of a metrics.jsonl, at most some `most` steps of each name."""
        from mlflow.entities import Metric

        if not metrics.exists():
            return
        curves: dict[str, list[tuple[int, float]]] = {}
        for i, text in enumerate(metrics.read_text().splitlines()):
            line = json.loads(text)
            for key, value in line.items():
                if key != "step" and isinstance(value, int | float) and value == value:
                    curves.setdefault(key, []).append((int(line.get("step", i)), float(value)))
        now = _milliseconds()
        # Each name by itself: what is measured at few steps only would fall between the others'.
        values = [
            Metric(key, value, now, step)
            for key, points in curves.items()
            for step, value in [*points[:-1][:: -(-len(points) // most)], points[-1]]
        ]
        for at in range(0, len(values), 1000):
            self.client.log_batch(run, metrics=values[at : at + 1000])

    def log_values(self, run: str, values: Mapping[str, Any]) -> None:
        """Single figures, nested ones by dotted names; what is not a number is left out.

        So is what the run has a curve of, whose last point it is.
        """
        from mlflow.entities import Metric

        known = self.client.get_run(run).data.metrics
        flat = {
            k: v
            for k, v in _flatten(values).items()
            if isinstance(v, int | float) and v == v and k not in known
        }
        names, now = {k: k.replace("=", "_") for k in flat}, _milliseconds()
        self.client.log_batch(
            run, metrics=[Metric(names[k], float(v), now, 0) for k, v in flat.items()]
        )

    def log_file(self, run: str, path: Path, folder: str = "") -> None:
        """A file (or all files of a folder) as artifact."""
        if path.is_dir():
            self.client.log_artifacts(run, str(path), folder or None)
        elif path.exists():
            self.client.log_artifact(run, str(path), folder or None)

    def log_text(self, run: str, text: str, name: str) -> None:
        """A text as artifact, `name` being its path there."""
        self.client.log_text(run, text, name)

    def log_release(self, run: str, release: str) -> None:
        """A release as the dataset that a run was given; not known to be one, it is left out."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if not releases.is_release(release):
            return
        said = releases.manifest(release)
        counts = {**said["totals"], "parent": said.get("parent")}
        made = Dataset(
            name=f"release {said['release_id'][:12]}",
            digest=said["release_id"],
            source_type="local",
            source=json.dumps({"uri": storage.display(release)}),
            profile=json.dumps(counts),
        )
        context = InputTag("mlflow.data.context", "training")
        self.client.log_inputs(run, [DatasetInput(made, [context])])

    def run_url(self, run: str) -> str | None:
        """The page of a run on a tracking server; a database has no pages."""
        experiment = self.client.get_run(run).info.experiment_id
        return self._page(f"experiments/{experiment}/runs/{run}")

    def model_url(self, name: str, version: str) -> str | None:
        """The page of a version of a registered model, likewise."""
        return self._page(f"models/{quote(name, safe='')}/versions/{version}")

    def _page(self, place: str) -> str | None:
        if not self.uri.startswith(("http://", "https://")):
            return None
        return f"{self.uri.rstrip('/')}/#/{place}"

    def version_tags(self) -> Iterator[dict[str, str]]:
        """Tags of every version of every registered model, and of the runs of its chain."""
        for version in self._all(self.client.search_model_versions):
            yield dict(version.tags)
            for run in self._family(version.run_id):
                yield dict(run.data.tags)

    def _family(self, run: str | None) -> list[Any]:
        """A run, its parent, and all children of the parent; none where it is gone."""
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
    def _all(search: Callable[..., Any]) -> Iterator[Any]:
        """What a search finds, page by page."""
        page = search()
        yield from page
        while page.token:
            page = search(page_token=page.token)
            yield from page

    def finish(self, run: str, status: str = "FINISHED") -> None:
        """Close a run."""
        self.client.set_terminated(run, status)


def _milliseconds() -> int:
    """Now, as MLflow counts it: of a figure it is when it was recorded."""
    return time.time_ns() // 1_000_000


def found_or_none(ask: Callable[[], Any]) -> Any:
    """What MLflow has, None where it says that there is none; any other trouble is raised."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            out |= _flatten(value, name + ".")
        else:
            out[name] = value
    return out
