"""MLflow as headrace uses it: one parent run a chain, a child run a stage, one registered model."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.infra.home import Home
from headrace.infra.lineage import digest

_EXPERIMENT = "headrace"
logger = logging.getLogger(__name__)


class Tracking:
    """The tracking store of a state folder: SQLite there, or the server that is configured."""

    def __init__(self, home: Home, uri: str | None = None) -> None:
        os.environ.setdefault("MLFLOW_ENABLE_TELEMETRY", "false")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        from mlflow import MlflowClient

        logging.getLogger("alembic").setLevel(logging.WARNING)
        home.root.mkdir(parents=True, exist_ok=True)
        self.home, self.uri = home, uri or home.mlflow_uri
        self.client: Any = MlflowClient(self.uri, self.uri)

    def experiment(self) -> str:
        """Id of the experiment whose artifacts lie in this state folder.

        MLflow stores their place as an absolute path, so a copy of a state folder gets an
        experiment of its own instead of writing into the original.
        """
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
        found = self.client.search_runs(
            [self.experiment()],
            f"tags.`headrace.key` = '{key}' and status = 'FINISHED'",
            max_results=1,
        )
        return str(found[0].info.run_id) if found else None

    def start_run(self, name: str, tags: Mapping[str, Any], parent: str | None = None) -> str:
        """A new run's id."""
        all_tags = {"mlflow.runName": name, **{k: str(v) for k, v in tags.items() if v is not None}}
        if parent:
            all_tags["mlflow.parentRunId"] = parent
        run = self.client.create_run(self.experiment(), tags=all_tags, run_name=name)
        return str(run.info.run_id)

    def run_url(self, run):
        return None

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
        """Every number in the lines of a metrics.jsonl, at most `most` steps of it."""
        from mlflow.entities import Metric

        if not metrics.exists():
            return
        lines = [json.loads(x) for x in metrics.read_text().splitlines()]
        every = -(-len(lines) // most) or 1
        values = [
            Metric(key, float(value), 0, int(line.get("step", i)))
            for i, line in enumerate(lines)
            if i % every == 0 or i == len(lines) - 1
            for key, value in line.items()
            if key != "step" and isinstance(value, int | float) and value == value
        ]
        for at in range(0, len(values), 1000):
            self.client.log_batch(run, metrics=values[at : at + 1000])

    def log_values(self, run: str, values: Mapping[str, Any]) -> None:
        """Single figures, nested ones by dotted names; what is not a number is left out."""
        from mlflow.entities import Metric

        flat = {k: v for k, v in _flatten(values).items() if isinstance(v, int | float) and v == v}
        names = {k: k.replace("=", "_") for k in flat}
        self.client.log_batch(
            run, metrics=[Metric(names[k], float(v), 0, 0) for k, v in flat.items()]
        )

    def log_file(self, run: str, path: Path, folder: str = "") -> None:
        """A file (or all files of a folder) as artifact."""
        if path.is_dir():
            self.client.log_artifacts(run, str(path), folder or None)
        elif path.exists():
            self.client.log_artifact(run, str(path), folder or None)

    def finish(self, run: str, status: str = "FINISHED") -> None:
        """Close a run."""
        self.client.set_terminated(run, status)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            out |= _flatten(value, name + ".")
        else:
            out[name] = value
    return out
