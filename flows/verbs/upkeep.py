"""Verbs of the state folder's upkeep: remove, copy, restore."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from headrace.flows.cli_runtime import Answer, Call, verb

verbs = click.Group()


@verb(verbs, "gc", "headrace gc --keep 3 --dry-run")
@click.option("--keep", type=click.IntRange(0), required=True, metavar="N",
              help="How many of the newest releases, and of the newest runs, stay though nothing "
              "refers to them.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only list them.")
def gc(call: Call, keep: int, dry_run: bool) -> Answer:
    """List, then remove releases, runs and tokens that no model version refers to, and what is old.

    What a version was made of stays, and so does all of the chain that led to it. Nothing is
    removed while another command or a flow is at work in the state folder (exit 2); an interrupted
    chain that is to be resumed counts as unreferenced, so keep enough of the newest, or finish it
    first. Nothing outside the state folder is touched; links are not followed.

    Old is what `retention` says (days): checkpoints of finished stages, what failed curations left,
    Spark's event logs, damaged files, Prefect's runs and events.
    """
    from headrace.tasks.configuration.settings import GcConfig

    settings = call.settings(GcConfig)
    from headrace.flows.summaries.upkeep import litter_screen
    from headrace.tasks.operations.garbage import collect

    made = collect(keep, dry_run, settings.retention)
    return Answer(asdict(made), litter_screen(made))


@verb(verbs, "backup", "headrace backup /mnt/backups", reads=True)
@click.argument("target", type=click.Path(path_type=Path))
def backup(call: Call, target: Path) -> Answer:
    """Copy the state folder to TARGET/TIME, while everything runs; what is there is linked.

    Passwords, logs and unfinished curations are not copied; nor is the key of the audit file, which
    lies outside the state folder.
    """
    from headrace.infra.configuration.settings import Shared

    call.settings(Shared)
    from headrace.flows.summaries.upkeep import backup_screen
    from headrace.tasks.operations.backup import make

    made = make(target.absolute())
    return Answer(asdict(made), backup_screen(made))


@verb(verbs, "restore", "headrace restore /mnt/backups", reads=True)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Only hold every file of the backup against its hash.")
def restore(call: Call, source: Path, check: bool) -> Answer:
    """Make a state folder of a backup, or of the newest one in a folder of backups.

    HEADRACE_HOME names the folder, which must be empty or not be there; it appears whole or not at
    all.
    """
    from headrace.infra.configuration.settings import Shared

    call.settings(Shared)
    from headrace.flows.summaries.upkeep import restore_screen
    from headrace.tasks.operations import restore as work

    place = source.absolute()
    made = work.check(place) if check else work.restore(place)
    return Answer(asdict(made), restore_screen(made))
