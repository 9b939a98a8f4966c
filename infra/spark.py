"""The Spark session: local or a standalone cluster, quiet, and the same answer on both."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from headrace.infra import console
from headrace.infra.errors import UsageError
from headrace.infra.home import home
from headrace.infra.java import java_home
from headrace.infra.settings import SparkSettings

_LOG4J = """rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
"""

# The heavy work is Python's: the quick compiler and collector halve what a small job's Java costs
# (CPU seconds of a session's start: 4.8 instead of 9.4).
_QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


_ANSWER_SECONDS = 3.0


def check_master(master: str) -> None:
    """Knock at a standalone master, which Spark itself would try for two minutes.

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
        "start it, give its address by --set spark.master=spark://HOST:PORT, or use "
        "--profile local",
    )


def session(settings: SparkSettings) -> Any:
    """The Spark session of this process (pyspark.sql.SparkSession), started at the first call.

    Raises:
        UsageError: the settings name a master that doesn't answer.
    """
    os.environ["JAVA_HOME"] = java_home()[0]
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    folder = home().root / "spark"
    folder.mkdir(parents=True, exist_ok=True)
    log4j = folder / "log4j2.properties"
    log4j.write_text(_LOG4J)
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
        .config("spark.driver.extraJavaOptions", f"-Dlog4j2.configurationFile={log4j} {_QUICK}")
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
    with console.Progress("spark: start"):
        spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark
