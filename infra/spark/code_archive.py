"""The code as one zip for Spark's executors: named by its content, made once for each state of it.

All of the content: what only operates (code_identity) has to be today's on the executors as well.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path

from headrace.infra import storage
from headrace.infra.spark import executor_code

_ROOT = Path(__file__).resolve().parents[2]
_COMPILED = {".nbi", ".nbc"}


def _travels(path: Path) -> bool:
    """Whether a file is shipped: sources, data files, and kernels that Numba has compiled.

    Numba knows those by the content of their source, so that an executor on a like machine needn't
    spend half a minute on them.
    """
    return path.is_file() and ("__pycache__" not in path.parts or path.suffix in _COMPILED)


def _files(layer: str) -> list[Path]:
    return [p for top in sorted({layer, "infra"}) for p in sorted((_ROOT / top).rglob("*"))]


def content(layer: str) -> str:
    """128-bit hash of the sources and data files of `layer` and infra as 32 hex digits."""
    h = hashlib.blake2b(digest_size=16)
    for path in _files(layer):
        if path.is_file() and "__pycache__" not in path.parts:
            h.update(str(path.relative_to(_ROOT)).encode() + b"\0")
            h.update(hashlib.blake2b(path.read_bytes()).digest())
    return h.hexdigest()


def build(layer: str, folder: Path) -> Path:
    """Return the zip of `layer` and infra as the package headrace: `folder/<content hash>.zip`."""
    archive = folder / f"{content(layer)}.zip"
    if archive.exists():
        return archive
    folder.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(suffix=".tmp", dir=folder)
    with os.fdopen(fd, "wb") as f, zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED) as z:
        z.write(executor_code.__file__, "headrace/__init__.py")
        for path in filter(_travels, _files(layer)):
            z.write(path, Path("headrace") / path.relative_to(_ROOT))
    storage.publish(Path(name), archive)
    return archive
