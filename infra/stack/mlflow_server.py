"""MLflow's server in one process, behind a lock.

Started by `python -m headrace.infra.stack.mlflow_server PORT`.

`mlflow server` starts the web server as a child, which outlives a kill -9 of its parent and keeps
the port, so that nothing can come back there. The store is read from HEADRACE_MLFLOW_STORE and the
place of artifacts, which it serves, from HEADRACE_MLFLOW_ARTIFACTS: a command line would show a
password. Who comes shows the state folder's (credentials.py).
"""

from __future__ import annotations

import os
import sys

from starlette.types import ASGIApp

from headrace.infra import storage
from headrace.infra.net import credentials
from headrace.infra.net.locked_app import Locked
from headrace.infra.net.ports import HOST
from headrace.infra.state import private
from headrace.infra.state.state_dir import home
from headrace.infra.tracking import mlflow_artifacts

UNLOCKED = ("/health",)
"""Paths that answer without a password, with nothing but whether the server is well."""


def locked_app() -> ASGIApp:
    """MLflow's application; its store and the place of artifacts are in the environment."""
    from mlflow.server.fastapi_app import app

    found = credentials.known(home())
    assert found is not None, "no credentials: `headrace up` makes them"
    return Locked(app, found.mlflow_password, "MLflow of headrace", UNLOCKED)


def main() -> None:
    """Serve the store on loopback until the process is ended."""
    private.begin(home())
    store, artifacts = os.environ["HEADRACE_MLFLOW_STORE"], os.environ["HEADRACE_MLFLOW_ARTIFACTS"]
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    from mlflow.server import constants
    from mlflow.server.handlers import initialize_backend_stores

    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = store
    os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = store
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = mlflow_artifacts.ROOT
    os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = artifacts
    os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"
    os.environ["_MLFLOW_SGI_NAME"] = "uvicorn"
    if (folder := storage.local_path(artifacts)) is not None:
        mlflow_artifacts.adopt(store, folder)
    initialize_backend_stores(store, store, mlflow_artifacts.ROOT)
    import uvicorn

    uvicorn.run(
        locked_app(),
        host=HOST,
        port=int(sys.argv[1]),
        log_level="warning",
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
