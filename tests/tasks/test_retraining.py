from pathlib import Path
from typing import Any

import pytest

from headrace.infra.errors import ValidationError
from headrace.tasks.retraining import check_enough, window_job
from headrace.tasks.settings import RetrainVerb


def child(kept: int, read: int) -> dict[str, Any]:
    return {
        "kept": kept, "read": read, "rejected": {"semantics": read - kept}, "unreadable": 0,
        "release": "/r", "release_id": "x",
    }  # fmt: skip


@pytest.mark.parametrize(("kept", "read"), [(20, 20), (20, 200), (500, 5000)])
def test_enough_is_enough(kept: int, read: int) -> None:
    check_enough(child(kept, read), RetrainVerb())


@pytest.mark.parametrize(("kept", "read"), [(19, 20), (20, 201), (0, 150), (499, 5000)])
def test_a_damaged_window_is_refused_with_its_counts(kept: int, read: int) -> None:
    with pytest.raises(ValidationError, match=f"keeps {kept} of {read}") as e:
        check_enough(child(kept, read), RetrainVerb())
    assert e.value.code == 4 and e.value.counts["kept"] == kept and "semantics" in e.value.message


def test_a_child_lies_beside_its_parent(tmp_path: Path) -> None:
    champion = {"release": str(tmp_path / "releases" / "p")}
    job = window_job("w.jsonl", champion, RetrainVerb())
    assert job.output == str(tmp_path) and job.parent == champion["release"]
