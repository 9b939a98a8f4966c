"""The command `headrace`: verbs in the order of the chain."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from headrace.flows.cli_runtime import (
    COMPLETE,
    Answer,
    Stopped,
    Verb,
    finish,
    log,
    without_values,
)
from headrace.flows.verbs import (
    corpus,
    decisions,
    inspection,
    models,
    rounds,
    stack,
    upkeep,
    watch,
)
from headrace.infra import console, faults
from headrace.infra.errors import UsageError
from headrace.infra.state import private
from headrace.infra.state.owner import other_owner
from headrace.infra.state.state_dir import home


class _Headrace(click.Group):
    """The verbs in the order of the chain, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names as they were registered."""
        return list(self.commands)


cli = _Headrace(
    "headrace",
    help="From a Chinese and English corpus to a model in production, and back round through "
    "drift.\n\nEvery verb takes --config, --set, --profile, --json; `headrace VERB --help` shows "
    "an example. State lives under HEADRACE_HOME (default: .headrace/ here).",
    context_settings={"help_option_names": ["-h", "--help"]},
)
click.version_option(package_name="headrace", message="headrace %(version)s")(cli)
for part in (corpus, models, rounds, stack, watch, decisions, upkeep, inspection):
    cli.commands.update(part.verbs.commands)


def spread(arguments: Sequence[str], option: str = "--input") -> list[str]:
    """The arguments with `option a b` as `option a option b`: what a shell makes of a glob."""
    out: list[str] = []
    following = False
    for argument in arguments:
        if argument.startswith("-"):
            following = argument == option
            out.append(argument)
        else:
            if following and out[-1] != option:
                out.append(option)
            out.append(argument)
    return out


def _stop(*_: object) -> None:
    raise Stopped


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    arguments = spread(sys.argv[1:] if argv is None else argv)
    if COMPLETE in os.environ:
        cli.main(arguments, "headrace", complete_var=COMPLETE)
    asks = not arguments or bool({"--help", "-h"} & {*arguments}) or arguments[0] == "--version"
    as_json = "--json" in arguments
    if not asks:
        # Help needs no log file, and a state folder is not made by looking at it.
        named = cli.commands.get(arguments[0])
        reads = isinstance(named, Verb) and named.reads
        if reads:
            # MLflow's client would try for minutes to reach a server that is away.
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        fresh, made = not home().begun(), not home().root.exists()
        looks = fresh and (named is None or reads)
        try:
            if not looks:
                private.begin(home())
            console.open_console(Path(os.devnull) if looks else home().logs / "headrace.log")
        except (OSError, UsageError) as error:
            finish(as_json, functools.partial(_refuse_state, error))
        if fresh and not looks:
            atexit.register(_leave_nothing, home().root, made)
        signal.signal(signal.SIGTERM, _stop)
        log.info("headrace %s (HEADRACE_HOME %s)", " ".join(without_values(arguments)), home().root)
    try:
        cli.main(arguments, "headrace", standalone_mode=False)
    except click.ClickException as error:
        finish(as_json, functools.partial(_refuse_call, error))
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        sys.exit(130)
    except Stopped:
        sys.exit(143)


def _leave_nothing(root: Path, made: bool) -> None:
    """Remove the log of a refused call if the state folder holds nothing else.

    Remove the folder too if this command has `made` it. Keep a log with the trace of an unexpected
    fault.
    """
    log = root / "logs" / "headrace.log"
    with contextlib.suppress(OSError):
        alone = os.listdir(root) == ["logs"] and os.listdir(log.parent) == [log.name]
        if alone and b"ends with 1:" not in log.read_bytes():
            log.unlink()
            log.parent.rmdir()
            if made:
                root.rmdir()


def _refuse_state(error: OSError | UsageError) -> Answer:
    """Raise what keeps the state folder from being used."""
    if isinstance(error, UsageError):
        raise error
    reason = f"the state folder {home().root} can't be used: {faults.explained(error).message}"
    hint = "set HEADRACE_HOME to a folder that you can write to"
    if (whose := other_owner(home().root)) is not None:
        raise UsageError(f"{reason}; it belongs to {whose}", f"run it as {whose}, or {hint}")
    raise UsageError(reason, hint)


def _refuse_call(error: click.ClickException) -> Answer:
    """Raise what click refuses, with the help of the verb that it refused."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "headrace"
    raise UsageError(error.format_message(), f"`{path} --help` shows how to call it")


if __name__ == "__main__":
    main()
