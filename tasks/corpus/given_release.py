"""A finished release as the start of a chain, in place of text that is yet to be curated."""

from __future__ import annotations

import os
from pathlib import Path

from headrace.infra import console, lineage, releases, storage
from headrace.infra.artifacts import Release
from headrace.infra.errors import ValidationError
from headrace.infra.state.state_dir import home
from headrace.tasks.input_checks import release_to_start_from
from headrace.tasks.task import step


@step("take the release")
def take_release(release: str) -> Release:
    """Take a finished release, which lies in the state folder from now on.

    Args and Raises: as of `input_checks.release_to_start_from`.
    """
    return Release.load(_adopted(release_to_start_from(release)))


def _adopted(release: Release) -> str:
    """Return the release's folder in the state folder, where its models look for it.

    Local files are linked where the disk allows it, since a release never changes; others are
    copied and held against the manifest's hashes. The manifest comes last.
    """
    folder, target = release.folder, home().root / "releases" / release.id
    if str(target) == folder:
        return folder
    files = releases.manifest(folder)["files"]
    if not releases.is_release(str(target)) or releases.damaged(str(target), files):
        with console.Progress("take the release", len(files), "files") as progress:
            for file in files:
                _fetch(storage.join(folder, file["path"]), target / file["path"], file["sha256"])
                progress.advance(1)
        content = storage.read_bytes(storage.join(folder, "manifest.json"))
        storage.write_bytes(target / "manifest.json", content)
    return str(target)


def _fetch(uri: str, path: Path, sha256: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    local = storage.local_path(uri)
    if local is not None:
        try:
            os.link(local, path)
            return
        except OSError:  # another disk, or one without links
            pass
    partial = path.with_name(f".{path.name}.part")
    with storage.open_input(uri) as source, partial.open("wb") as out:
        while block := source.read(1 << 20):
            out.write(block)
    if lineage.sha256(str(partial)) != sha256:
        partial.unlink()
        raise ValidationError(
            f"{uri}: its content is not what the manifest says",
            "`headrace validate --release URI` says more; `headrace curate` writes it again",
        )
    storage.publish(partial, path)
