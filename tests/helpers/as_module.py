"""A test file as a module that other processes import: its jobs lie beside the tests of them."""

import os
from pathlib import Path


def as_module(test: str, name: str, folder: Path) -> str:
    """Copy a test file to `folder/<name>.py`; the PYTHONPATH that finds it and these helpers."""
    (folder / f"{name}.py").write_text(Path(test).read_text())
    return os.pathsep.join(map(str, (folder, Path(__file__).parent)))
