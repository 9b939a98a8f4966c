"""The package as Spark's executors get it: this module stands in for its `__init__` in the zip.

Imported there, it unpacks the zip once a machine, into a folder named by the code's hash, and the
rest of the package is imported from that folder. So Numba finds what it has compiled before: in a
zip, or in the folder that Spark makes anew for every application, it would compile each time.
Only the standard library may be imported here.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

FOLDER = "HEADRACE_CODE"
"""Environment variable of the executors: the folder below which the code is unpacked."""


def unpack(archive: Path, folder: Path) -> Path:
    """Return the folder `folder/<stem of the archive>` with what is in it; whole, or not there."""
    target = folder / archive.stem
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
        with zipfile.ZipFile(archive) as z:
            z.extractall(scratch)
        try:
            scratch.rename(target)
        except OSError:  # another worker was faster
            shutil.rmtree(scratch)
    return target


if __name__ == "headrace":
    _archive = Path(__file__).parents[1]
    __path__ = [str(unpack(_archive, Path(os.environ.get(FOLDER) or _archive.parent)) / "headrace")]
