"""What every verb shares: settings, the JSON line, exit codes, and no trace on the screen."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem
from pydantic import JsonValue

from headrace.infra import console, faults
from headrace.infra.configuration.config_file import Config
from headrace.infra.configuration.setting_tree import laid
from headrace.infra.configuration.settings import NotifySettings, Shared, given, layered, load
from headrace.infra.errors import NotPromotedError, UsageError
from headrace.infra.json_types import Json
from headrace.infra.net import servers
from headrace.infra.registry import kept_registry
from headrace.infra.stack.endpoints import Endpoints, endpoints
from headrace.infra.stack.profiles import LOCAL, profile_settings
from headrace.infra.state.state_dir import home
from headrace.infra.visible import json_line, visible

S = TypeVar("S", bound=Shared)
log = logging.getLogger("command")
"""Not below `headrace`, whose lines go to the screen as well."""
COMPLETE = "_HEADRACE_COMPLETE"
"""Variable by which a shell asks for completions."""
SECRET = "notify|webhook|database"  # nosec B105 # names of settings
"""Settings that may hold a token or a password."""


class Stopped(KeyboardInterrupt):
    """SIGTERM came: a scheduler or a time limit wants the command to end."""


@dataclass
class Answer:
    """A verb's result: the JSON object, the same for a person, and the exit code."""

    data: Mapping[str, Json]
    text: str = ""
    code: int = 0


@dataclass
class Call:
    """The options that every verb takes, resolved to settings when the verb asks."""

    config: Path | None
    sets: tuple[str, ...]
    profile: str
    made: Shared | None = None
    """The settings that the verb asked for, once it has."""

    def settings(self, model: type[S], **options: JsonValue) -> S:
        """Validated settings of a verb; an option that was given wins over --config, not --set.

        Only `finish` uses the webhook: anyone could read its token in the parameters of a flow.
        """
        made = self.all_settings(model, options=options)
        return made.model_copy(update={"notify": NotifySettings()})

    def all_settings(
        self,
        model: type[S],
        base: Mapping[str, JsonValue] | None = None,
        options: Mapping[str, JsonValue] | None = None,
    ) -> S:
        """`settings` with the webhook; `base` is weaker than the profile."""
        base = laid(base or {}, profile_settings(self.profile), model)
        made = load(model, self.config, self.sets, base, options)
        self.made = made
        return made

    def given(self, model: type[Shared]) -> list[Config]:
        """What --config and --set give, valid by itself; the strongest last."""
        sources = given(self.config, self.sets)
        self.made = layered(model, sources)
        return sources


class Text(click.ParamType[str]):
    """Text that a person gave, which names no file: UTF-8, or it is refused."""

    name = "text"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The text as it is.

        Raises:
            click.BadParameter: its bytes are not UTF-8.
        """
        text = str(value)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            self.fail(f"{visible(text, 80)}: not UTF-8 text", param, ctx)
        return text


TEXT = Text()


class Place(click.types.StringParamType):
    """A path or URI, which a shell completes as a path; or one of a few names."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so, and what makes the shell list files."""
        names = [CompletionItem(name) for name in self._names if name.startswith(incomplete)]
        return [*names, CompletionItem(incomplete, type="file")]


PLACE = Place()
MODEL = Place("champion", "challenger")
SUITE = Place("heldout")


class SettingText(Text):
    """KEY=VALUE, whose key a shell can complete."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The keys of the verb that begin so."""
        from headrace.infra.configuration.setting_tree import leaves
        from headrace.tasks.configuration.listed_settings import model_of

        keys = [key for key, _, _ in leaves(model_of(ctx.info_name or ""))]
        return [CompletionItem(f"{key}=") for key in keys if key.startswith(incomplete)]


class Verb(click.Command):
    """A verb of the command."""

    reads = False
    """Whether it only looks: in a folder without state it leaves nothing."""


def verb(group: click.Group, name: str, example: str, reads: bool = False) -> Callable[..., Any]:
    """Register `function(call, **options) -> Answer` as a verb of the command."""

    def register(function: Callable[..., Answer]) -> click.Command:
        @functools.wraps(function)
        def run(
            config: Path | None,
            sets: tuple[str, ...],
            profile: str,
            as_json: bool,
            **options: object,
        ) -> None:
            call = Call(config, sets, profile)
            finish(as_json, lambda: function(call, **options), lambda: call.made)

        doc = inspect.cleandoc(function.__doc__ or "") + f"\n\n\b\nExample:\n  {example}"
        command = click.command(name, Verb, help=doc)(run)
        command.reads = reads
        for option in reversed(_COMMON):
            command.params.append(option)
        group.add_command(command)
        return command

    return register


_COMMON: list[click.Parameter] = [
    click.Option(["--config", "config"], type=click.Path(path_type=Path), metavar="FILE",
                 help="Settings as YAML."),
    click.Option(["--set", "sets"], multiple=True, type=SettingText(), metavar="A.B=VALUE",
                 help="One setting; the value is YAML. Wins over the file. Repeatable."),
    click.Option(["--profile"], type=click.Choice(["local", "cluster"]), default=LOCAL,
                 show_default=True, help="Where it runs."),
    click.Option(["--json", "as_json"], is_flag=True,
                 help="Print one JSON object as the last line."),
]  # fmt: skip


def finish(
    as_json: bool,
    body: Callable[[], Answer],
    settings: Callable[[], Shared | None] = lambda: None,
) -> None:
    """Run a verb and end the process with its exit code; report any fault in one line.

    What fails or is refused is reported by webhook too, where the verb's settings name one.
    """
    try:
        answer = body()
        if as_json:
            console.result(json_line(answer.data))
        elif answer.text:
            console.result(answer.text)
        if answer.data.get("waiting") is True:
            _notify(settings(), "Waiting", _reasons(answer.data))
        if answer.code == NotPromotedError.code:
            _notify(settings(), "Refused", _reasons(answer.data) or "see the gate")
        log.info("ends with %d", answer.code)
        sys.exit(answer.code)
    except BrokenPipeError:  # `headrace settings | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
    except KeyboardInterrupt as error:
        code = 143 if isinstance(error, Stopped) else 130
        _refuse(as_json, code, "stopped", "run the same command again to resume", {})
    except Exception as error:
        log.info("the trace of what follows", exc_info=True)
        fault = faults.explained(error)
        _notify(settings(), "Failed", fault.message)
        _refuse(as_json, fault.code, fault.message, fault.hint, fault.counts)


def _reasons(data: Mapping[str, Json]) -> str:
    """Why a verb's model isn't promoted."""
    reasons = data.get("reasons")
    return "; ".join(map(str, reasons)) if isinstance(reasons, list | tuple) else ""


def _notify(settings: Shared | None, state: str, reason: str) -> None:
    """Send the notice of a command that may be scheduled; the same command resumes it."""
    if settings is None:
        return
    from headrace.tasks.reporting.webhooks import notify

    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    arguments = shlex.join(without_values(sys.argv[1:], SECRET))
    command = f"HEADRACE_HOME={shlex.quote(str(home().root))} headrace {arguments}"
    notify(settings.notify, verb, state, reason, command, {"log": str(console.log_path())})


def without_values(arguments: Sequence[str], holding: str = "") -> list[str]:
    """The arguments, of each `--set` that matches `holding` the key only: it may be a secret."""
    out = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        prefix = "--set=" if argument.startswith("--set=") else ""
        key, equals, _ = argument.removeprefix(prefix).partition("=")
        hide = equals and (prefix or before == "--set") and re.search(holding, argument)
        out.append(f"{prefix}{key}=…" if hide else argument)
    return out


def _refuse(as_json: bool, code: int, message: str, hint: str, counts: Mapping[str, Json]) -> None:
    log.info("ends with %d: %s", code, message)
    console.say(f"error: {message}")
    if hint:
        console.say(f"  what to do: {hint}")
    if as_json:
        error = {"code": code, "message": message, "hint": hint}
        console.result(json_line({**counts, "error": error}))
    sys.exit(code)


def found_servers() -> Endpoints:
    """The servers of this environment and state folder.

    Raises:
        UsageError: the folder keeps its models elsewhere.
    """
    found = endpoints(home())
    kept_registry.check(home(), found)
    return found


def start_prefect() -> None:
    """A Prefect server for the flows of this command: another's, the stack's, or its own.

    Its own boots while the flows are imported.

    Raises:
        UsageError: another's server doesn't answer, or refuses the credentials; or the folder keeps
            its models elsewhere.
    """
    from headrace.infra.stack.prefect_server import OwnServer

    found = found_servers()
    found.check_others()
    if found.prefect is not None:
        found.join()
        return
    server = OwnServer(home())
    importlib.import_module("headrace.flows.lifecycle")
    server.wait()


def join_prefect() -> Endpoints:
    """The servers that Prefect and MLflow in this process use from here on.

    Before Prefect is imported.

    Raises:
        UsageError: no Prefect server is up, or another's doesn't answer or refuses the credentials;
            or the folder keeps its models elsewhere.
    """
    found = found_servers()
    if found.prefect is None:
        raise UsageError(
            "no Prefect server is up",
            f"start it: `headrace up`; or set {servers.PREFECT} to one that runs",
        )
    found.check_others()
    found.join()
    return found


def not_built(name: str, instead: str) -> Answer:
    """The answer of a verb that comes later; `instead` says what there is."""
    raise UsageError(f"{name} is not built yet", instead)
