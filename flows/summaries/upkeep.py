"""The end of `headrace gc`, `backup` and `restore`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.flows.summaries.layout import rule, table

if TYPE_CHECKING:  # a command's last screen imports nothing heavy
    from headrace.tasks.operations.backup import Backup
    from headrace.tasks.operations.garbage import Collected
    from headrace.tasks.operations.restore import Restored


def litter_screen(made: Collected) -> str:
    """The end of `headrace gc`."""
    verb, freed = ("would go", "would free") if made.dry_run else ("removed", "freed")
    rows = [(verb, name) for name in made.removed]
    for kind in dict.fromkeys(e.kind for e in made.expired):
        sizes = [e.bytes for e in made.expired if e.kind == kind]
        rows.append((verb, f"{kind}: {len(sizes)}, {sum(sizes) / 1e6:,.1f} MB"))
    if any(made.prefect.values()):
        rows.append((verb, "Prefect's: {runs:,} runs, {events:,} events".format(**made.prefect)))
    rows.append((freed, f"{made.bytes / 1e6:,.1f} MB; {len(made.kept)} folders stay"))
    return "\n".join([rule("gc"), *table(rows)])


def backup_screen(made: Backup) -> str:
    """The end of `headrace backup`."""
    rows = [
        ("backup", made.backup),
        ("files", f"{made.files:,}, {made.bytes / 1e6:,.1f} MB"),
        ("copied", f"{made.copied:,}, {made.copied_bytes / 1e6:,.1f} MB; the rest is linked"),
        *_apart(made),
    ]
    if made.audit_key:
        rows.append(("copy by hand", f"{made.audit_key}: the key of the audit file"))
    return "\n".join([rule("backup"), *table(rows)])


def restore_screen(made: Restored) -> str:
    """The end of `headrace restore`."""
    rows = [
        *([("restored to", made.home)] if made.home else []),
        ("backup", f"{made.backup}, of {made.made}"),
        ("files", f"{made.files:,}, {made.bytes / 1e6:,.1f} MB, each as it was copied"),
        *_apart(made),
    ]
    if made.missing_keys:
        rows.append(("audit key", "not here: put it back, then `headrace audit verify`"))
    if made.home:
        rows.append(("next", "`headrace audit verify`, `headrace up`"))
    return "\n".join([rule("restore"), *table(rows)])


def _apart(made: Backup | Restored) -> list[tuple[str, str]]:
    """What a backup does not hold."""
    rows = [("not in it", ", ".join(made.left_out))] if made.left_out else []
    return [*rows, *(("outside, not in it", place) for place in made.outside)]
