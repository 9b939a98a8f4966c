"""The files that the inputs of a job mean, and what of a folder is left out of them.

A file that is named, by itself or by a glob, is always an input. Of a folder all files are, but for
hidden ones, those that only accompany data (README, checksums, `infra/files/companions.py`), what
headrace itself has put there, and what a link reaches a second time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from headrace.infra import storage
from headrace.infra.files.companions import why_none
from headrace.infra.files.walk import Entry, Found, LeftOut, Rule, expand, is_folder, look, walk
from headrace.infra.state.state_dir import home
from headrace.spark_jobs.settings import Source

_RELEASE = {"manifest.json", "ledger.parquet"}
_OUTPUT = ({"releases", "latest.json"}, {"releases", ".work"})


def gather(
    sources: Sequence[Source], output: str | None = None
) -> tuple[dict[str, tuple[Source, Entry]], list[LeftOut]]:
    """({URI: (the source that names it, the file)}, what is left out), each file once.

    Args:
        sources: of the job.
        output: where the job writes, which is no input where it lies below one.

    Raises:
        InputError: nothing is there, or the storage doesn't answer.
    """
    rule = _rule(output)
    files: dict[str, tuple[Source, Entry]] = {}
    out: dict[str, LeftOut] = {}
    names: dict[str, str] = {}
    for source in sources:
        for place in expand(source.uri):
            found = walk(place, rule) if is_folder(place) else Found([look(place)])
            for entry in found.files:
                first = names.setdefault(_place(entry), entry.uri)
                if first == entry.uri:
                    files.setdefault(entry.uri, (source, entry))
                else:
                    out[entry.uri] = LeftOut(entry.uri, f"the same as {first}, which is read")
            out |= {x.uri: x for x in found.left_out}
    return files, [x for uri, x in sorted(out.items()) if uri not in files]


def _place(entry: Entry) -> str:
    """Return what is the same for two names of one file."""
    path = storage.local_path(entry.uri)
    return entry.uri if path is None or entry.error else os.path.realpath(path)


def _real(uri: str) -> str:
    path = storage.local_path(uri)
    return storage.display(uri) if path is None else os.path.realpath(path)


def _rule(output: str | None) -> Rule:
    """Return what of a folder is no input."""
    own = {str(home().root.resolve()): "the state folder of headrace"}
    if output is not None:
        own[_real(output)] = "the output folder"
        for name in ("releases", "latest.json"):
            own[_real(storage.join(output, name))] = "what headrace has put into the output folder"

    def why(uri: str, names: frozenset[str] | None) -> str:
        if names is None:
            name = uri.rpartition("/")[2]
            return why_none(name) or (own.get(_real(uri), "") if name == "latest.json" else "")
        if names >= _RELEASE:
            return "a release of headrace; its documents/ would be an input"
        if any(some <= names for some in _OUTPUT):
            return "an output folder of headrace"
        return own.get(_real(uri), "")

    return why
