"""Where the records on a window lie, and the names by which they refer to files.

    HOME/windows/<inbox>/<number>.window.json    the files of a window of an inbox; never changed
    HOME/windows/<inbox>/<number>.verdict.json   what the monitor found, once the alert is out
    HOME/windows/<inbox>/settled.jsonl           the files of the windows that are done with
    HOME/windows/rounds/                         rounds of retraining (rounds.py)
    HOME/windows/last.json                       the newest verdict on any window

What lies in the state folder is named relative to it, so that a copy has windows of its own files.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from headrace.infra import storage
from headrace.infra.files import quarantine
from headrace.infra.state.state_dir import home

WINDOW, VERDICT = ".window.json", ".verdict.json"
ROUND = ".round.json"
"""Ending of the record of a round before each round had a file; still read."""


class Record(BaseModel):
    """A small JSON file; keys that it has besides are passed over."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Settled(Record):
    """What a window's record of a round says, in state folders of before."""

    outcome: str


def is_of_inbox(window: str) -> bool:
    """Whether a window is one of an inbox's, which is named by its record."""
    return window.endswith(WINDOW)


def beside(window: str, ending: str) -> Path:
    """Return the path of a window's record with another ending."""
    return Path(window.removesuffix(WINDOW) + ending)


def has_old_round(window: str) -> bool:
    """Whether a round on a window of an inbox ended before each round had a file."""
    path = beside(window, ROUND)
    return quarantine.read(path, Settled.model_validate) is not None


def relative(uri: str) -> str:
    """Return the name by which a record refers to a file or folder."""
    return home().relative(uri) if _is_path(uri) else uri


def absolute(name: str) -> str:
    """Return the inverse of `relative`."""
    return str(home().resolve(name)) if _is_path(name) else name


def _is_path(uri: str) -> bool:
    """Whether it is a local path; one whose name isn't UTF-8 is a URI, which stays as it is."""
    return storage.local_path(uri) is not None and not uri.startswith("file:")
