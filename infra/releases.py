"""A release on storage: its manifest, and its documents as Arrow tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NotRequired, TypedDict

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.infra import storage
from headrace.infra.arrow import Strings
from headrace.infra.errors import InputError, UsageError
from headrace.infra.files import walk
from headrace.infra.lineage import is_heldout


class SizedFile(TypedDict):
    """A file whose size is known."""

    path: str
    bytes: int


class FileEntry(SizedFile):
    """A file of a release or of token shards, as a manifest has it."""

    rows: int | None
    """None of what is no table."""
    sha256: str


class InputEntry(TypedDict):
    """A file that a release was made of."""

    uri: str
    bytes: int
    sha256: str
    records: int
    licence: NotRequired[str]
    error: NotRequired[str]
    """Why it can't be read."""
    note: NotRequired[str]
    """What it is, where that isn't what its name says."""


class FileNote(TypedDict):
    """A file, and what is odd about it."""

    uri: str
    why: str


class Totals(TypedDict):
    """Records of a release by outcome."""

    read: int
    kept: int
    rejected: dict[str, int]
    """By level, in the order of decision."""
    unreadable: int
    repaired: NotRequired[int]


class Sizes(TypedDict):
    """Bytes of text that were read, and those of them that are unreadable."""

    bytes: int
    unreadable_bytes: int


class Warnings(TypedDict):
    """What a reader of a release should know."""

    repeated_ids: int


class Manifest(TypedDict):
    """`manifest.json` of a release."""

    release_id: str
    parent: str | None
    inputs: list[InputEntry]
    config: dict[str, Any]
    """The settings of the curation."""
    code_version: str
    totals: Totals
    sizes: NotRequired[Sizes]
    left_out: NotRequired[list[FileNote]]
    warnings: Warnings
    files: list[FileEntry]


def newest(uri: str) -> str:
    """Return the newest release of an output folder; what is no output folder is given back.

    Raises:
        InputError: no release there keeps a document, so none is the latest.
    """
    latest = storage.join(uri, "latest.json")
    if is_release(uri):
        return uri
    if not storage.exists(latest):
        if storage.exists(storage.join(uri, "releases")):
            raise InputError(
                f"{storage.display(uri)}: no release there keeps a document, so none is the latest",
                "give the folder of a release",
            )
        return uri
    return storage.join(uri, "releases", str(storage.read_json(latest)["release_id"]))


def is_release(uri: str) -> bool:
    """Whether a folder holds a finished release (its manifest is written last)."""
    return storage.exists(storage.join(uri, "manifest.json"))


def manifest(release: str) -> Manifest:
    """Return the manifest of a release.

    Raises:
        InputError: the folder is not a finished release.
    """
    if not is_release(release):
        place = storage.display(release)
        if not storage.exists(place):
            raise InputError(f"{place}: no such release", "check the path")
        if storage.exists(storage.join(place, "documents")):
            raise InputError(
                f"{place}: a release that isn't finished (no manifest.json)",
                "run the same `headrace curate` again: it finishes it",
            )
        raise InputError(
            f"{place}: not a release (no manifest.json)",
            "give the folder that `headrace curate` printed as `release`",
        )
    value: Manifest = storage.read_json(storage.join(release, "manifest.json"))
    return value


def damaged(folder: str, files: Iterable[SizedFile]) -> list[str]:
    """List what differs from a manifest's `files` in a folder, one sentence each; read nothing.

    A power cut or a full disk can leave a file short of what was written to it; contents are
    compared by `headrace validate`.

    Args:
        folder: of the release, or of token shards.
        files: of the manifest.
    """
    root = storage.display(folder)
    there = {uri[len(root) :].strip("/"): size for uri, size, _ in walk.listing(folder)}
    return [
        f"{f['path']} is missing"
        if f["path"] not in there
        else f"{f['path']} has {there[f['path']]:,} bytes, its manifest says {f['bytes']:,}"
        for f in files
        if there.get(f["path"]) != f["bytes"]
    ]


def lineage(release: str) -> list[str]:
    """Return the release and its ancestors, oldest first: a model's corpus.

    A parent lies beside its child, under the same `releases/`.

    Raises:
        InputError: an ancestor is gone.
    """
    chain = [storage.display(release)]
    while parent := manifest(chain[-1]).get("parent"):
        chain.append(storage.join(chain[-1].rsplit("/", 1)[0], parent))
    return chain[::-1]


def document_files(release: str) -> list[tuple[str, str, str]]:
    """(URI, lang, domain) of every file of kept documents, in the manifest's order."""
    out = []
    for file in manifest(release)["files"]:
        parts = file["path"].split("/")
        if parts[0] == "documents":
            keys = dict(p.split("=", 1) for p in parts[1:-1])
            out.append((storage.join(release, file["path"]), keys["lang"], keys["domain"]))
    return out


def read_documents(
    release: str, columns: Sequence[str] = ("text",), heldout: bool | None = None
) -> pa.Table:
    """Kept documents of one release in the manifest's order, with `lang` and `domain` as columns.

    Args:
        release: the folder of the release.
        columns: columns of the files; lang and domain come with them.
        heldout: True for held-out records only, False for all others, None for all.
    """
    want = list(dict.fromkeys([*columns, "content_hash"]))
    tables = []
    for uri, lang, domain in document_files(release):
        with storage.open_input(uri) as f:
            table = pq.read_table(f, columns=[c for c in want if c not in ("lang", "domain")])
        if heldout is not None:
            mask = [is_heldout(str(h)) == heldout for h in table["content_hash"].to_pylist()]
            table = table.filter(pa.array(mask, pa.bool_()))
        n = table.num_rows
        table = table.append_column("lang", pa.array([lang] * n, pa.string()))
        tables.append(table.append_column("domain", pa.array([domain] * n, pa.string())))
    if not tables:
        raise UsageError(f"{release} holds no documents", "curate an input that keeps some")
    out = pa.concat_tables(tables)
    return out.select(list(dict.fromkeys([*columns, "lang", "domain"])))


def unseen(corpus: Sequence[str], hashes: Strings) -> Strings:
    """Return the content hashes that no record of any release has, kept or rejected.

    Reads one column of every file, and holds one file of it at a time.
    """
    for release in corpus:
        for file in manifest(release)["files"]:
            if len(hashes) == 0:
                return hashes
            if file["path"].split("/")[0] in ("documents", "rejected"):
                with storage.open_input(storage.join(release, file["path"])) as f:
                    there = pq.read_table(f, columns=["content_hash"])["content_hash"]
                hashes = hashes.filter(pc.invert(pc.is_in(hashes, there.combine_chunks())))
    return hashes


SAMPLE = 20_000
"""Records that `read_scored` takes of a release at most."""


def read_scored(release: str, columns: Sequence[str], most: int = SAMPLE) -> pa.Table:
    """Kept and rejected records alike, as raw text of the same origin would be scored.

    Duplicates are left out, as are records without usable text. Of a large release the records of
    the lowest content hash are taken, which is as good as random, and always the same.

    Args:
        release: the folder of the release.
        columns: columns of the files; lang and domain come with them.
        most: upper bound on the number of rows.
    """
    want = [c for c in dict.fromkeys([*columns, "content_hash"]) if c not in ("lang", "domain")]
    tables = []
    for file in manifest(release)["files"]:
        kind, *folders = file["path"].split("/")[:-1] or [""]
        keys = dict(p.split("=", 1) for p in folders if "=" in p)
        if kind not in ("documents", "rejected") or keys.get("level") == "duplicate":
            continue
        with storage.open_input(storage.join(release, file["path"])) as f:
            inside = ["lang", "domain"] if kind == "rejected" else []
            table = pq.read_table(f, columns=[*want, *inside])
        for name in () if inside else ("lang", "domain"):
            table = table.append_column(name, pa.array([keys[name]] * len(table), pa.string()))
        table = table.filter(table["content_hash"].is_valid())
        tables.append(_lowest(table.select([*want, "lang", "domain"]), most))
    if not tables:
        raise UsageError(f"{release} holds no records", "curate an input that holds some")
    return _lowest(pa.concat_tables(tables), most)


def _lowest(table: pa.Table, most: int) -> pa.Table:
    return table if len(table) <= most else table.sort_by("content_hash").slice(0, most)
