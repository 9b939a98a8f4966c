"""MLflow's server in one process: `python -m headrace.infra.mlflow_server PORT`.

`mlflow server` starts the web server as a child, which outlives a kill -9 of its parent and keeps
the port, so that nothing can come back there. The store is read from HEADRACE_MLFLOW_STORE and the
place of artifacts, which it serves, from HEADRACE_MLFLOW_ARTIFACTS: a command line would show a
password.
"""

from __future__ import annotations

import os
import sys

from headrace.infra import mlflow_artifacts, storage


def main() -> None:
    """Serve the store on loopback until the process is ended."""
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
        "mlflow.server.fastapi_app:app",
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
