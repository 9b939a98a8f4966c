import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.infra import releases
from headrace.infra.errors import InputError
from headrace.infra.lineage import is_heldout


def release(root: Path, name: str, parent: str | None, texts: list[str]) -> str:
    """A folder with the contract's layout: `texts` kept, two rejected, one of them a duplicate."""
    folder = root / "releases" / name
    files = []

    def put(path: str, rows: Sequence[Mapping[str, object]]) -> None:
        (folder / path).parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([*map(dict, rows)]), folder / path)
        files.append({"path": path, "rows": len(rows)})

    hashes = [f"{i:032x}" for i in range(len(texts))]
    put(
        "documents/lang=zh/domain=legal/a.parquet",
        [{"text": t, "content_hash": h} for t, h in zip(texts, hashes, strict=True)],
    )
    for level in ("bias", "duplicate"):
        row = {"text": level, "content_hash": "f" * 32, "lang": "en", "domain": "general"}
        put(f"rejected/level={level}/a.parquet", [row])
    files.append({"path": "report.html", "rows": None})
    manifest = {"release_id": name, "parent": parent, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return str(folder)


def test_held_out_and_the_rest_are_apart(tmp_path: Path) -> None:
    made = release(tmp_path, "r", None, [str(i) for i in range(120)])
    held = releases.read_documents(made, ("text", "content_hash"), heldout=True)
    rest = releases.read_documents(made, heldout=False)
    assert held["text"].to_pylist() == ["0", "50", "100"]
    assert all(map(is_heldout, held["content_hash"].to_pylist()))
    assert len(rest) == 117 and set(rest["lang"].to_pylist()) == {"zh"}
    assert len(releases.read_documents(made)) == 120


def test_the_corpus_is_the_release_and_its_ancestors(tmp_path: Path) -> None:
    one = release(tmp_path, "one", None, ["a"])
    two = release(tmp_path, "two", "one", ["b"])
    assert releases.lineage(two) == [one, two] and releases.lineage(one) == [one]


def test_raw_text_is_kept_and_rejected_but_no_duplicates(tmp_path: Path) -> None:
    made = release(tmp_path, "r", None, ["a", "b"])
    table = releases.read_scored(made, ("text",))
    assert sorted(table["text"].to_pylist()) == ["a", "b", "bias"]
    assert releases.read_scored(made, ("text",), most=1)["text"].to_pylist() == ["a"]


def test_what_no_record_of_a_corpus_has_is_unseen_duplicates_are_seen(tmp_path: Path) -> None:
    corpus = releases.lineage(release(tmp_path, "two", release_id(tmp_path), ["a", "b"]))
    hashes = pa.array(["f" * 32, f"{1:032x}", f"{2:032x}", f"{9:032x}"])
    assert releases.unseen(corpus, hashes).to_pylist() == [f"{9:032x}"]
    assert releases.unseen(corpus, pa.array([], pa.string())).to_pylist() == []


def release_id(root: Path) -> str:
    return Path(release(root, "one", None, ["a", "b", "c"])).name


def test_a_folder_without_manifest_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a release"):
        releases.manifest(str(tmp_path))


def test_an_output_folder_stands_for_its_newest_release(tmp_path: Path) -> None:
    made = release(tmp_path, "r", None, ["a"])
    assert releases.newest(made) == made and releases.newest("/no/output") == "/no/output"
    with pytest.raises(InputError, match="no release there keeps a document"):
        releases.newest(str(tmp_path))
    (tmp_path / "latest.json").write_text('{"release_id": "r"}')
    assert releases.newest(str(tmp_path)) == made
