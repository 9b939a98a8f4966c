"""A Spark standalone cluster from the pip package: the commands that start its parts."""

from __future__ import annotations

import sys
from pathlib import Path

import pyspark

from headrace.infra.java import java_home

Command = tuple[list[str], dict[str, str]]


def _class(name: str, *arguments: str, env: dict[str, str]) -> Command:
    root = Path(pyspark.__file__).parent
    ours = {
        "JAVA_HOME": java_home()[0],
        "SPARK_HOME": str(root),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "512m",
        "PYSPARK_PYTHON": sys.executable,
        **env,
    }
    return [str(root / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *arguments], ours


def master_command(port: int, ui_port: int, folder: Path) -> Command:
    """(argv, environment) of a master on loopback."""
    return _class("master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port",
                  str(ui_port), env={})  # fmt: skip


def worker_command(
    master: str, ui_port: int, folder: Path, cores: int = 1, memory: str = "2g"
) -> Command:
    """(argv, environment) of a worker."""
    return _class("worker.Worker", "--host", "127.0.0.1", "--webui-port", str(ui_port), "--cores",
                  str(cores), "--memory", memory, "--work-dir", str(folder / "work"), master,
                  env={})  # fmt: skip


def history_command(port: int, events: Path, folder: Path) -> Command:
    """(argv, environment) of the history server."""
    options = f"-Dspark.history.fs.logDirectory=file:{events} -Dspark.history.ui.port={port}"
    return _class("history.HistoryServer", env={"SPARK_HISTORY_OPTS": options})
