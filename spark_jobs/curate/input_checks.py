"""Whether an input is fit to make a release of: enough of it can be read, and it holds text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headrace.infra.errors import NoTextError, UnreadableError, ValidationError
from headrace.spark_jobs.curate.inventory_job import NAMED, more
from headrace.spark_jobs.curate.scan_counts import ScanCounts, UnreadableRecord
from headrace.spark_jobs.inputs import InputFile
from headrace.spark_jobs.reading.fields import fields_of, suggestion
from headrace.spark_jobs.settings import CurateJob

UNREADABLE_NAMED = 5
"""Unreadable records that a message names."""
_FIELDS, _NAME = 12, 60
"""Fields that a message names, and the characters of a name that it shows."""


def check_readable(
    counts: ScanCounts,
    job: CurateJob,
    files: Sequence[InputFile] = (),
    first: Callable[[], Sequence[UnreadableRecord]] = tuple,
) -> None:
    """Raise unless little enough of the input is unreadable, by records and by bytes.

    A file that can't be read at all is one record, however much it holds: so bytes count as well.

    Args:
        counts: of the scan.
        job: says how much may be unreadable.
        files: of the input; those that can't be read, or are not what their names say, are named.
        first: gives some unreadable records, which are named too; called only where too much is
            unreadable.

    Raises:
        UnreadableError: too much of it is; the error carries the counts.
    """
    most = job.settings.input.max_unreadable
    bad, read = counts.unreadable, counts.read
    bad_bytes, size = counts.unreadable_bytes, counts.bytes
    if bad <= most * read and bad_bytes <= most * size:
        return
    some = first()
    whole = {f.source for f in files if f.error}
    named = [f"{f.source}: {f.error}" for f in files if f.error]
    noted = [f"{f.source}: {f.note}" for f in files if f.note and not f.error]
    lines = [f"{x['source']}:{x['position']}: {x['error']}" for x in some]
    lines = [line for line, x in zip(lines, some, strict=True) if x["source"] not in whole]
    sentences = [
        f"{bad:,} of {read:,} records ({bad / read:.1%}) and {_mb(bad_bytes)} of {_mb(size)} "
        f"({bad_bytes / max(1, size):.1%}) can't be read, allowed are {most:.1%} of either",
        *_some(named),
        *([f"the first lines: {'; '.join(lines)}"] if lines else []),
        *([f"to note: {'; '.join(_some(noted))}"] if noted else []),
    ]
    raise UnreadableError(
        "; ".join(sentences),
        "fix the input, or allow more: `curate --max-unreadable SHARE`, in other verbs "
        "--set curate.input.max_unreadable=SHARE; nothing was published",
        {
            **counts.outcomes,
            "bytes": size,
            "unreadable_bytes": bad_bytes,
            "unreadable_examples": [
                {"source": x["source"], "position": x["position"], "error": x["error"]}
                for x in some
            ],
        },
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def _some(items: Sequence[str]) -> list[str]:
    """Return the first of several, the last with how many more there are."""
    shown = list(items[:NAMED])
    if shown:
        shown[-1] += more(len(items))
    return shown


def check_usable(counts: ScanCounts, job: CurateJob, files: Sequence[InputFile]) -> None:
    """Raise unless a record has text, or none could be read, which `check_readable` judges.

    Raises:
        NoTextError: no record has; the message says which fields they have instead.
        ValidationError: there is no record at all.
    """
    if not counts.read:
        raise ValidationError(
            "the input holds no records", "give files that hold some", counts.outcomes
        )
    records = counts.read - counts.unreadable
    if counts.usable or not records:
        return
    wanted = job.settings.input.fields.get("text", "text")
    fields = fields_of(files)
    names = [f"`{f.name[:_NAME]}` ({f.records:,})" for f in fields[:_FIELDS]]
    left = f" and {len(fields) - _FIELDS:,} more" if len(fields) > _FIELDS else ""
    there = any(f.name == wanted for f in fields)
    raise NoTextError(
        f"none of the {records:,} records has text in the field `{wanted}`"
        + (", which is there but holds none" if there else "")
        + f"; the fields of the first records: {', '.join(names) or 'none'}{left}",
        f'say which field holds the text: --set "input.fields={{text: {suggestion(fields)}}}" (in '
        "run, retrain and monitor it is curate.input.fields); nothing was published",
        counts.outcomes,
    )
