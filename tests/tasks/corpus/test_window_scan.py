"""A window is scanned once: the drift test's scan serves the curation of the same window."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.infra import storage
from headrace.infra.errors import UnreadableError
from headrace.infra.state.state_dir import home
from headrace.spark_jobs.curate import inventory_job, scan_job
from headrace.spark_jobs.curate.inventory_job import Inventory
from headrace.spark_jobs.curate.scan_job import UnitFiles, finished_units
from headrace.spark_jobs.settings import CurateJob, CurateSettings, Source
from headrace.tasks.corpus.window_scan import scan_window, take_over

Taken = tuple[CurateJob, Inventory]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "w.jsonl"
    lines = [json.dumps({"text": f"The court heard case {i} on Tuesday."}) for i in range(30)]
    path.write_text("\n".join(lines) + "\n")
    return path


def window(text: Path) -> Taken:
    """The scan of a window that the drift test makes."""
    job = CurateJob(inputs=(Source(uri=str(text)),), output=str(home().windows))
    return job, inventory_job.take(job)


def child(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **settings: object) -> Taken:
    """The curation of the same window as a child of a release."""
    monkeypatch.setattr(inventory_job, "_parent_id", lambda job: "p" if job.parent else None)
    job = CurateJob(
        inputs=(Source(uri=str(text)),),
        output=str(tmp_path / "out"),
        parent="/p",
        settings=CurateSettings.model_validate(settings),
    )
    return job, inventory_job.take(job)


def records(inventory: Inventory) -> pa.Table:
    with storage.open_input(UnitFiles(inventory.work, 0).records) as file:
        return pa.ipc.open_stream(file).read_all()


def test_a_scan_is_made_once(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scan_window(*window(text))
    assert first.num_rows == 30

    def again(*_: object) -> None:
        raise AssertionError("it was scanned again")

    monkeypatch.setattr(scan_job, "scan_unit", again)
    assert scan_window(*window(text)).equals(first)


def test_a_curation_takes_the_scan_over_as_it_would_make_it(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan_window(*window(text))
    job, inventory = child(text, tmp_path, monkeypatch)
    take_over(job, inventory)
    assert finished_units(inventory.work) == {0}
    handed, counts = records(inventory), scan_job.counted(inventory)
    at = UnitFiles(inventory.work, 0)
    keys = storage.read_bytes(at.keys)
    for path in (at.records, at.unreadable, at.keys, at.marker):
        Path(path).unlink()
    scan_job.scan_unit(0, inventory.work, job)
    assert records(inventory).equals(handed) and scan_job.counted(inventory) == counts
    assert storage.read_bytes(at.keys) == keys


def test_other_settings_or_other_text_are_scanned_anew(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan_window(*window(text))
    job, inventory = child(text, tmp_path, monkeypatch, bias={"threshold": 0.2})
    take_over(job, inventory)
    assert finished_units(inventory.work) == set()
    text.write_text('{"text": "Something else."}\n')
    job, inventory = child(text, tmp_path, monkeypatch)
    take_over(job, inventory)
    assert finished_units(inventory.work) == set()


def test_a_window_that_no_one_can_read_is_refused(text: Path) -> None:
    text.write_text("{" * 50)
    with pytest.raises(UnreadableError, match="can't be read"):
        scan_window(*window(text))
