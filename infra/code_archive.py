"""The code as one zip for Spark's executors: named by its hash, made once for each state of it."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

from headrace.infra import shipped, storage
from headrace.infra.lineage import code_version

_ROOT = Path(__file__).resolve().parents[1]
_COMPILED = {".nbi", ".nbc"}


def _travels(path: Path) -> bool:
    """Sources, data files, and the kernels that Numba has compiled, which it knows by the content
    of their source: an executor on a like machine needn't spend half a minute on them."""
    return path.is_file() and ("__pycache__" not in path.parts or path.suffix in _COMPILED)


def build(layer: str, folder: Path) -> Path:
    """The zip of `layer` and infra as the package headrace: `folder/<code_version>.zip`."""
    archive = folder / f"{code_version(layer)}.zip"
    if archive.exists():
        return archive
    folder.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(suffix=".tmp", dir=folder)
    with os.fdopen(fd, "wb") as f:
        with zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED) as z:
            z.write(shipped.__file__, "headrace/__init__.py")
            for top in sorted({layer, "infra"}):
                for path in sorted(filter(_travels, (_ROOT / top).rglob("*"))):
                    z.write(path, Path("headrace") / path.relative_to(_ROOT))
        f.flush()
        os.fsync(f.fileno())
    storage.publish(Path(name), archive)
    return archive
