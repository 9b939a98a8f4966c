"""A chain that starts from a finished release."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from headrace.infra.errors import HeadraceError, InputError, UsageError, ValidationError
from headrace.infra.state.state_dir import home
from headrace.tasks.corpus.given_release import take_release


def release(output: Path, name: str = "ab12", **changed: Any) -> Path:
    """A release in an output folder."""
    folder, content = output / "releases" / name, b"kept"
    file = folder / "documents" / "lang=en" / "domain=legal" / "a.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    entry = {"path": str(file.relative_to(folder)), "rows": 1, "bytes": len(content),
             "sha256": hashlib.sha256(content).hexdigest()}  # fmt: skip
    totals = {"read": 2, "kept": 1, "rejected": {"format": 1}, "unreadable": 0}
    manifest = {"release_id": name, "parent": None, "inputs": [{"uri": "x", "bytes": 7}],
                "totals": totals, "files": [entry], **changed}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (output / "latest.json").write_text(json.dumps({"release_id": name}))
    return folder


take = take_release.fn


def test_a_release_is_taken_by_folder_output_folder_or_id(tmp_path: Path) -> None:
    folder = release(tmp_path / "out")
    answers = [take(str(folder)), take(str(tmp_path / "out")), take("ab12")]
    own = home().root / "releases" / "ab12"
    assert answers[0] == answers[1] == answers[2]
    assert answers[0].folder == str(own) and answers[0].totals.kept == 1
    assert answers[0].input_bytes == 7
    assert (own / "documents/lang=en/domain=legal/a.parquet").read_bytes() == b"kept"


def test_a_copy_that_was_cut_short_or_damaged_is_finished(tmp_path: Path) -> None:
    folder = release(tmp_path)
    own = Path(take(str(folder)).folder)
    file = own / "documents/lang=en/domain=legal/a.parquet"
    file.unlink()
    assert take(str(folder)).folder == str(own) and file.read_bytes() == b"kept"
    (own / "manifest.json").unlink()
    assert take(str(folder)).folder == str(own) and (own / "manifest.json").exists()


def test_content_that_differs_from_its_manifest_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = release(tmp_path)
    (folder / "documents/lang=en/domain=legal/a.parquet").write_bytes(b"kepT")

    def no_link(*_: object) -> None:
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", no_link)
    with pytest.raises(ValidationError, match="not what the manifest says"):
        take(str(folder))
    assert not (home().root / "releases" / "ab12" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        ({"parent": "cd34"}, UsageError, "child release"),
        ({"totals": {"read": 1, "kept": 0, "rejected": {}, "unreadable": 1}}, ValidationError,
         "keeps no document"),
        ({"files": [{"path": "gone.parquet", "rows": 1, "bytes": 1, "sha256": ""}]},
         ValidationError, "gone.parquet is missing"),
    ],
)  # fmt: skip
def test_what_cannot_start_a_chain_says_why(
    tmp_path: Path, changed: dict[str, Any], kind: type[HeadraceError], said: str
) -> None:
    folder = release(tmp_path, **changed)
    with pytest.raises(kind, match=said) as error:
        take(str(folder))
    assert error.value.hint


def test_what_is_no_release_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such release"):
        take(str(tmp_path / "none"))
