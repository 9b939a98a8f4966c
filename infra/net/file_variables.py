"""Environment variables that name files, which mean the same from every working directory.

The services of a stack run in the state folder, so what a relative path meant in the shell that
called `headrace up` would be another file there, or none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_ENDINGS = ("_FILE", "_DIR", "_HOME", "_PATH", "_BUNDLE")
_OTHERS = {"TMPDIR"}
_LISTS = {
    "PATH", "LD_LIBRARY_PATH", "KUBECONFIG", "SSL_CERT_DIR", "XDG_DATA_DIRS", "XDG_CONFIG_DIRS",
}  # fmt: skip
"""Those that may name several places, with colons between them."""


def absolute(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables, the paths in those that name files or folders absolute; URIs stay."""
    return {name: _value(name, value) for name, value in environ.items()}


def _value(name: str, value: str) -> str:
    if name in _LISTS:
        return os.pathsep.join(map(_path, value.split(os.pathsep)))
    return _path(value) if name in _OTHERS or name.endswith(_ENDINGS) else value


def _path(text: str) -> str:
    return (
        os.path.abspath(text)
        if text and not Path(text).is_absolute() and "://" not in text
        else text
    )
