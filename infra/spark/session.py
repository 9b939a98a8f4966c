"""The Spark session: local or a standalone cluster, quiet, and the same answer on both."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.infra import console
from headrace.infra.configuration.settings import SparkSettings
from headrace.infra.errors import UsageError
from headrace.infra.spark import auth, code_archive
from headrace.infra.spark.executor_code import FOLDER
from headrace.infra.spark.java import java_home
from headrace.infra.state import private
from headrace.infra.state.state_dir import home

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EVENT_LOG = "HEADRACE_SPARK_EVENTS"
"""Environment variable: the event log's folder where the settings name none."""

_LOG4J = """rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
"""

QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""The heavy work is Python's: the quick compiler and collector halve what a small job's Java costs
(CPU seconds of a session's start: 4.8 instead of 9.4)."""

_ANSWER_SECONDS = 3.0


def is_cluster(settings: SparkSettings) -> bool:
    """Whether the master is a standalone cluster's, not this process."""
    return settings.master.startswith("spark://")


def check_master(master: str) -> None:
    """Check that a standalone master answers; Spark itself would retry for two minutes.

    Raises:
        UsageError: none of the addresses of `spark://host:port,host:port` answers.
    """
    if not master.startswith("spark://"):
        return
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
        except (OSError, ValueError):
            continue
        return
    raise UsageError(
        f"no Spark master answers at {master}",
        "start it (`headrace up` starts one here), give another by --set "
        "spark.master=spark://HOST:PORT, or leave spark.master and --profile cluster out",
    )


def program(name: str) -> str:
    """Path of a program of the packaged Spark, such as `spark-submit`; pyspark isn't imported."""
    spec = find_spec("pyspark")
    assert spec is not None and spec.origin is not None
    return str(Path(spec.origin).with_name("bin") / name)


def environment() -> dict[str, str]:
    """Variables that any process of Spark needs: its Java, its Python, and loopback."""
    return {
        "JAVA_HOME": java_home()[0],
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": os.environ.get("SPARK_LOCAL_IP", "127.0.0.1"),
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore"),
    }


def driver_options() -> str:
    """Options of the driver's Java, which must be known before it starts."""
    log4j = home().root / "spark" / "log4j2.properties"
    log4j.parent.mkdir(parents=True, exist_ok=True)
    log4j.write_text(_LOG4J)
    return f"{shlex.quote(f'-Dlog4j2.configurationFile={log4j}')} {QUICK}"


def _event_log(settings: SparkSettings) -> dict[str, str]:
    named = settings.event_log or os.environ.get(EVENT_LOG)
    if not named:
        return {}
    folder = Path(named).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return {"spark.eventLog.enabled": "true", "spark.eventLog.dir": folder.as_uri()}


def _executors(settings: SparkSettings, code: Path) -> dict[str, str]:
    """Return what the executors of a cluster are started with."""
    # Set here and not on spark-submit's command line, which everybody can read: there are keys.
    passed = {k: v for k, v in os.environ.items() if k.startswith("AWS_")}
    passed |= {FOLDER: str(code), "PYTHONWARNINGS": "ignore", **private.passed_on()}
    cores = {"spark.executor.cores": str(settings.executor_cores)}
    return {
        "spark.executor.memory": settings.executor_memory,
        "spark.executor.extraJavaOptions": QUICK,
        **(cores if settings.executor_cores else {}),
        **{f"spark.executorEnv.{k}": v for k, v in passed.items()},
    }


def session(settings: SparkSettings) -> SparkSession:
    """Return the Spark session of this process, which the first call starts.

    The executors of a cluster import the code that is shipped to them, not what is installed there.

    Raises:
        UsageError: the settings name a master that doesn't answer.
    """
    os.environ.update(environment())
    folder = home().root / "spark"
    options = driver_options()
    from pyspark.sql import SparkSession

    builder = (
        SparkSession.builder.master(settings.master)
        .appName("headrace")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.memory", settings.driver_memory)
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.local.dir", str(folder / "local"))
        .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        .config("spark.driver.extraJavaOptions", options)
        .config("spark.sql.shuffle.partitions", str(settings.partitions or 4))
        .config("spark.default.parallelism", str(settings.partitions or 4))
        .config("spark.sql.adaptive.enabled", "true")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled", "true")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .config("spark.python.worker.reuse", "true")
    )
    if SparkSession.getActiveSession() is not None:
        return builder.getOrCreate()
    check_master(settings.master)
    more = _event_log(settings)
    if is_cluster(settings):
        more |= _executors(settings, folder / "code")
    elif settings.master.startswith("local"):
        more |= auth.LOCAL
    for key, value in more.items():
        builder = builder.config(key, value)
    with console.Progress("spark: start"):
        spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    if is_cluster(settings):
        spark.sparkContext.addPyFile(str(code_archive.build("spark_jobs", folder / "code")))
    return spark
