"""Where the artifacts of a state folder's own MLflow lie: `mlartifacts/` there.

MLflow's database calls them `mlflow-artifacts:/RUN/artifacts`, which names no folder: the server
serves them from its own state folder, and without a server they are read and written there
directly. So a state folder can be moved or copied, and what was logged before `headrace up` is
served after it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from headrace.infra.tracking import mlflow_model

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from sqlalchemy import Connection

ROOT = "mlflow-artifacts:/"
"""Artifact location of headrace's experiment on its own store."""
FOLDER = "mlartifacts"
"""The folder in the state folder."""
_MOVED = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
}
"""Columns of MLflow's database that hold URIs of artifacts."""


def local(uri: str, folder: Path) -> Path | None:
    """Return the path below `folder` that an artifact's URI means; None if it lies elsewhere."""
    if not uri.startswith(ROOT) or urlsplit(uri).netloc:
        return None
    path = folder.joinpath(*unquote(urlsplit(uri).path).split("/")).absolute()
    if ".." in path.parts:
        return None
    return path


def adopt(store: str, folder: Path) -> bool:
    """Bring what earlier versions of headrace logged up to date; whether there was any.

    They gave artifacts absolute paths, which a move breaks, and registered models without MLmodel.

    Args:
        store: SQLAlchemy URL of MLflow's database; one without its tables is left alone.
        folder: the artifacts of the state folder.
    """
    import sqlalchemy as sa

    engine = sa.create_engine(store)
    try:
        with engine.begin() as connection:
            if not (places := _absolute(connection)):
                return False
            for model in folder.glob("*/artifacts/model"):
                if (model / "config.json").exists() and not (model / mlflow_model.MLMODEL).exists():
                    mlflow_model.describe(model, "headrace")
            for place in places:
                _relocate(connection, place)
            return True
    finally:
        engine.dispose()


def _absolute(connection: Connection) -> list[str]:
    """Return the absolute places of artifacts that earlier versions gave headrace's experiments."""
    import sqlalchemy as sa

    if not sa.inspect(connection).has_table("experiments"):
        return []
    found = connection.execute(
        sa.text(
            "SELECT DISTINCT artifact_location FROM experiments "
            "WHERE name LIKE 'headrace%' AND artifact_location LIKE :place"
        ),
        {"place": f"file://%/{FOLDER}"},
    )
    return [str(place) for place in found.scalars()]


def _relocate(connection: Connection, place: str) -> None:
    """Name artifacts below `place` as the server does."""
    import sqlalchemy as sa

    for table, columns in _MOVED.items():
        for column in columns:
            connection.execute(
                sa.text(
                    f"UPDATE {table} SET {column} = :root || substr({column}, :rest) "  # nosec B608 # of _MOVED
                    f"WHERE {column} = :place OR substr({column}, 1, :length) = :below"
                ),
                {
                    "root": ROOT,
                    "place": place,
                    "below": f"{place}/",
                    "length": len(place) + 1,
                    "rest": len(place) + 2,
                },
            )


def repository(
    artifact_uri: str, tracking_uri: str | None = None, **more: str | None
) -> ArtifactRepository:
    """MLflow's artifact repository of the scheme `mlflow-artifacts`, for its clients.

    On a SQLite store, where MLflow's own class asks for a server, it is the folder beside the
    database. It is registered as an entry point, so that plain MLflow finds it.
    """
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
    from mlflow.tracking import get_tracking_uri

    store = tracking_uri or get_tracking_uri()
    folder = local(artifact_uri, _beside(store)) if store.startswith("sqlite:") else None
    if folder is None:
        return MlflowArtifactsRepository(artifact_uri, tracking_uri=tracking_uri, **more)
    return LocalArtifactRepository(folder.as_uri(), tracking_uri=tracking_uri, **more)


def _beside(store: str) -> Path:
    database = store.partition("///")[2].partition("?")[0]
    return Path(os.path.abspath(database)).parent / FOLDER
