"""A Spark standalone cluster from the pip package: the commands of its master, workers and history.

For a supervisor: each function gives (argv, variables to add to the environment) of a process that
stays in the foreground and is Java itself in the end, so that a signal to it hits the right one.
All ports are on loopback, web pages included; what the processes write is below `folder`, their
logs are their standard streams.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from headrace.infra.net.ports import HOST
from headrace.infra.spark import session

_FINISHED_SECONDS = 24 * 3600
Command = tuple[list[str], dict[str, str]]


def _command(name: str, *arguments: str, folder: Path, **variables: str) -> Command:
    folder.mkdir(parents=True, exist_ok=True)
    argv = [session.program("spark-class"), f"org.apache.spark.deploy.{name}", *arguments]
    env = {
        **session.environment(),
        "SPARK_LOCAL_IP": HOST,
        "SPARK_DAEMON_MEMORY": "512m",
        "SPARK_DAEMON_JAVA_OPTS": session.QUICK,
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        **variables,
    }
    return argv, env


def master_command(port: int, ui_port: int, folder: Path) -> Command:
    """Return the master `spark://127.0.0.1:<port>`, its page on `ui_port`."""
    at = ("--host", HOST, "--port", str(port), "--webui-port", str(ui_port))
    # Else it would take submissions by HTTP as well, on a port that two masters would fight for.
    closed = "-Dspark.master.rest.enabled=false"
    return _command("master.Master", *at, folder=folder, SPARK_MASTER_OPTS=closed)


def worker_command(master: str, ui_port: int, folder: Path, cores: int, memory: str) -> Command:
    """Return a worker of `master` that offers `cores` and `memory` (as `2g`) to executors.

    What executors of finished applications leave is removed after a day.
    """
    return _command(
        "worker.Worker",
        *("--host", HOST, "--webui-port", str(ui_port), "--work-dir", str(folder / "work")),
        *("--cores", str(cores), "--memory", memory, master),
        folder=folder,
        SPARK_WORKER_OPTS="-Dspark.worker.cleanup.enabled=true "
        f"-Dspark.worker.cleanup.appDataTtl={_FINISHED_SECONDS}",
    )


def history_command(port: int, events_folder: Path, folder: Path, days: int = 30) -> Command:
    """Return the history server on `port`, for the event logs in `events_folder` (spark.event_log).

    It removes those that are older than some `days`.
    """
    events_folder.mkdir(parents=True, exist_ok=True)
    options = {
        # Not as_uri(): Hadoop's paths don't undo its %20.
        "spark.history.fs.logDirectory": f"file://{events_folder.absolute()}",
        "spark.history.ui.port": str(port),
        "spark.history.fs.cleaner.enabled": "true",
        "spark.history.fs.cleaner.maxAge": f"{max(1, days)}d",
    }
    return _command(
        "history.HistoryServer",
        folder=folder,
        # No quote at either end: supervisors take such a pair for their own.
        SPARK_HISTORY_OPTS=" ".join(f"-D{k}={shlex.quote(v)}" for k, v in options.items()),
    )
