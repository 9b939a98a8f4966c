"""What sessions and the processes of Spark are started with."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from headrace.infra.configuration.settings import SparkSettings
from headrace.infra.errors import UsageError
from headrace.infra.spark import session


def test_one_master_that_answers_is_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        session.check_master(f"spark://127.0.0.1:9,127.0.0.1:{port}")
    with pytest.raises(UsageError, match="no Spark master answers"):
        session.check_master(f"spark://127.0.0.1:9,127.0.0.1:{port}")
    with pytest.raises(UsageError):
        session.check_master("spark://nowhere")


def test_a_cluster_is_told_by_its_master() -> None:
    assert session.is_cluster(SparkSettings(master="spark://127.0.0.1:7077"))
    assert not session.is_cluster(SparkSettings())


def test_programs_of_spark_run_with_its_environment() -> None:
    said = subprocess.run(
        [session.program("spark-submit"), "--version"],
        env={**os.environ, **session.environment()},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0 and "version 4." in said.stderr
    assert session.environment()["PYSPARK_PYTHON"] == sys.executable


@pytest.mark.spark
def test_the_event_log_is_written_where_the_environment_names_it(tmp_path: Path) -> None:
    events = tmp_path / "their events"
    code = (
        "from headrace.infra.spark import session as spark;"
        "from headrace.infra.configuration.settings import SparkSettings;"
        "s = spark.session(SparkSettings(master='local[1]'));"
        "assert s.range(3).count() == 3; s.stop()"
    )
    env = {**os.environ, session.EVENT_LOG: str(events)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    (log,) = events.rglob("events_1_*")
    with open(log, "rb") as f:
        text = zstandard.ZstdDecompressor().stream_reader(f, read_across_frames=True).read()
    assert b"SparkListenerJobEnd" in text and b"SparkListenerApplicationEnd" in text
