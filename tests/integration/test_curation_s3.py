"""A curation from S3 to S3, against a local server."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from headrace.infra import releases, storage
from headrace.spark_jobs import inventory_job, release_job
from headrace.spark_jobs.settings import CurateJob, CurateSettings, Source

pytestmark = [pytest.mark.spark, pytest.mark.server]

SERVER = """
import sys
from moto.server import main
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""

DRIVER = """
import json, sys
from headrace.infra import spark
from headrace.spark_jobs import dedup_job, inventory_job, release_job, scan_job
from headrace.spark_jobs.settings import CurateJob
job = CurateJob.model_validate_json(sys.argv[1])
inventory = inventory_job.take(job)
session = spark.session(job.spark)
scan_job.scan(session, job, inventory)
dedup_job.deduplicate(session, job, inventory)
print()
print(json.dumps(release_job.publish(job, release_job.write(session, job, inventory))))
"""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    storage._s3.cache_clear()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    import boto3

    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="texts")
    yield "s3://texts"
    process.kill()
    process.wait()
    storage._s3.cache_clear()


def test_from_s3_to_s3(bucket: str) -> None:
    text = "The committee will meet on Thursday to discuss the plan for the new library. "
    rows = [{"text": text * 3 + f"Item {k} is the last one on the list."} for k in range(5)]
    lines = "".join(json.dumps(r) + "\n" for r in rows) + "damaged\n"
    storage.write_bytes(f"{bucket}/in/a.jsonl", lines.encode())
    job = CurateJob(
        inputs=(Source(uri=f"{bucket}/in"),),
        output=f"{bucket}/out",
        settings=CurateSettings.model_validate({"input": {"max_unreadable": 0.5}}),
    )
    # A process of its own: Spark's workers know the server by the environment that Java began with.
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, job.model_dump_json()], capture_output=True, check=True
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["read"] == 6 and said["unreadable"] == 1
    manifest = releases.manifest(said["release"])
    assert manifest["inputs"][0]["uri"] == f"{bucket}/in/a.jsonl"
    for file in manifest["files"]:
        assert storage.size(storage.join(said["release"], file["path"])) == file["bytes"]
    assert storage.read_json(f"{bucket}/out/latest.json") == {"release_id": said["release_id"]}
    again = release_job.finished(job, inventory_job.take(job))
    assert again is not None and again["release_id"] == said["release_id"]
