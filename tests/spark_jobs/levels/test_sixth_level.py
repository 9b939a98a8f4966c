"""A level is one file and one entry: the one of docs/add-a-level.md is added, and is everywhere."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "add-a-level.md").read_text(encoding="utf-8")
LAYERS = ("flows", "tasks", "training", "expectations", "infra")

USE = """
import json, sys
from pathlib import Path
from headrace.expectations import release as expectations
from headrace.expectations.drift import DriftSettings
from headrace.infra.configuration.settings import Shared
from headrace.spark_jobs.curate import dedup_job, inventory_job, release_job, scan_job
from headrace.spark_jobs.curate.release_writer import write_group
from headrace.spark_jobs.levels import LEVELS
from headrace.spark_jobs.settings import CurateJob
from headrace.tasks.retraining.drift import compare_texts
from headrace.tasks.retraining.window import Window

job = CurateJob.model_validate(json.loads(sys.argv[1]))
inventory = inventory_job.take(job)
# The pieces are done here, so nothing is left for Spark.
scan_job.scan_unit(0, inventory.work, job)
scan_job.scan(None, job, inventory)
dedup_job.deduplicate(None, job, inventory)
write_group(0, inventory.work, inventory.release, len(inventory.units))
draft = release_job.write(None, job, inventory)
release_job.publish(job, draft)
valid = expectations.validate(inventory.release, LEVELS)
drift = compare_texts.fn(
    sys.argv[3], Window.of(sys.argv[2]), DriftSettings(minimum_documents=20, permutations=199),
    job.settings, Shared(),
)
found = {
    "release": inventory.release,
    "failed": valid.failed,
    "expected": sorted({result.column for result in valid.results}),
    "tested": {test["name"]: test["drifted"] for test in drift.tests},
    "drift_report": drift.report,
}
Path(sys.argv[4]).write_text(json.dumps(found))
"""


def package(folder: Path) -> Path:
    """A package like headrace in which the page's level is saved and entered."""
    inside = folder / "headrace"
    shutil.copytree(ROOT / "infra" / "_package", inside)
    (inside / "spark_jobs").mkdir()
    for part in (*LAYERS, *(f"spark_jobs/{p.name}" for p in (ROOT / "spark_jobs").iterdir())):
        if part != "spark_jobs/levels":
            (inside / part).symlink_to(ROOT / part)
    shutil.copytree(ROOT / "spark_jobs" / "levels", inside / "spark_jobs" / "levels")
    levels = inside / "spark_jobs" / "levels"
    [name] = re.findall(r"Save it as `spark_jobs/levels/(\w+\.py)`", PAGE)
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (levels / name).write_text(code, encoding="utf-8")
    entries = (levels / "__init__.py").read_text(encoding="utf-8")
    module = f"headrace.spark_jobs.levels.{name.removesuffix('.py')}"
    before = entries.replace("LEVELS: tuple", f"from {module} import CAPITALS\n\nLEVELS: tuple")
    after = before.replace("BIAS, DOMAIN)", "BIAS, DOMAIN, CAPITALS)")
    assert entries != before != after
    (levels / "__init__.py").write_text(after, encoding="utf-8")
    return folder


def lines(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def text(n: int) -> str:
    return f"The committee met for the {n}th time and agreed to publish the minutes of meeting {n}."


def test_a_sixth_level_is_in_the_ledger_the_report_the_expectations_and_the_drift_test(
    tmp_path: Path,
) -> None:
    calm = [text(n) for n in range(60)]
    job = {
        "inputs": [{"uri": lines(tmp_path / "a.jsonl", [*calm, text(77).upper()])}],
        "output": str(tmp_path / "out"),
        "settings": {
            "semantics": {"threshold": 0},
            "bias": {"threshold": 1},
            "domain": {"targets": {"general": 0}},
            "capitals": {"threshold": 0.6},
        },
    }
    window = lines(tmp_path / "b.jsonl", [text(n).upper() for n in range(100, 160)])
    answer, script = tmp_path / "answer.json", tmp_path / "use.py"
    script.write_text(USE)  # a file: under `python -c` PySpark takes imports for its doctests
    reference = lines(tmp_path / "c.jsonl", calm)
    run = subprocess.run(
        [sys.executable, str(script), json.dumps(job), window, reference, str(answer)],
        env={**os.environ, "PYTHONPATH": str(package(tmp_path / "package"))},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(answer.read_text())
    release = Path(found["release"])
    manifest = json.loads((release / "manifest.json").read_text())
    assert manifest["totals"]["rejected"]["capitals"] == 1
    assert manifest["config"]["capitals"] == {"threshold": 0.6}
    ledger = pq.read_table(release / "ledger.parquet").to_pylist()
    assert [row["reason"] for row in ledger if row["level"] == "capitals"] == ["capitals.shouting"]
    report = (release / "report.html").read_text()
    assert "capitals.shouting" in report and "Capitals: share of capitals among letters" in report
    assert "dashed: threshold 0.6" in report
    assert found["failed"] == [] and "capitals_score" in found["expected"]
    assert found["tested"]["capitals_score"]
    assert "share of capitals (level 6)" in Path(found["drift_report"]).read_text()
