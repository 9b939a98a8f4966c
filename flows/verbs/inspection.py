"""Verbs that check or list: the record of decisions, settings, this machine."""

from __future__ import annotations

from dataclasses import asdict

import click

from headrace.flows.cli_runtime import COMPLETE, Answer, Call, verb
from headrace.infra.configuration.config_file import Config
from headrace.infra.configuration.setting_tree import laid
from headrace.infra.configuration.settings import layered
from headrace.infra.errors import UsageError
from headrace.infra.stack.profiles import profile_settings
from headrace.infra.state.state_dir import home
from headrace.infra.visible import visible

verbs = click.Group()


def _command() -> click.Group:
    """The whole command, of which this module holds some verbs."""
    root = click.get_current_context().find_root().command
    assert isinstance(root, click.Group), "verbs are called through it"
    return root


def _verbs(context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    root = context.find_root().command
    names = list(root.commands) if isinstance(root, click.Group) else []
    return [name for name in names if name.startswith(incomplete)]


@verb(verbs, "audit", "headrace audit verify", reads=True)
@click.argument("action", type=click.Choice(["verify", "show"]))
def audit(call: Call, action: str) -> Answer:
    """Check the chain of recorded decisions, or show them; exit 4 on any edit, gap or reorder."""
    from headrace.infra.configuration.settings import Shared

    call.settings(Shared)
    from headrace.flows.summaries.records import audit_screen, decisions_screen
    from headrace.tasks.gate.decisions import recorded_decisions, verify_decisions

    if action == "show":
        recorded = recorded_decisions()
        return Answer(recorded.as_json(), decisions_screen(recorded.lines))
    verified = verify_decisions()
    return Answer(verified.model_dump(mode="json"), audit_screen(verified))


@verb(verbs, "settings", "headrace settings curate", reads=True)
@click.argument("name", metavar="[VERB]", required=False, shell_complete=_verbs)
def settings_(call: Call, name: str | None) -> Answer:
    """List every setting with its effective default and meaning, all of them or those of a verb.

    Effective is what applies with --config, --set and --profile; for `deploy` and `up` also what
    they keep.
    """
    from headrace.infra.configuration.settings import Shared
    from headrace.tasks.configuration import kept_settings
    from headrace.tasks.configuration.listed_settings import check_verb, listed

    check_verb(name, list(_command().commands))

    def effective(verb: str, model: type[Shared]) -> Shared:
        given = call.given(model) if verb == (name or "run") else []
        base = [Config("the profile", laid({}, profile_settings(call.profile), model))]
        if verb == "up":
            return kept_settings.of_up(kept_settings.read(), profile_settings(call.profile), given)
        if verb == "deploy":
            kept = kept_settings.read()
            base = [Config("the profile", profile_settings(kept.profile or call.profile))]
            base += [kept_settings.BASE_CONFIG, kept.settings]
        return layered(model, [*base, *given])

    rows = listed(name, effective)
    from headrace.flows.summaries.settings import settings_screen

    data = {"verb": name, "settings": [asdict(row) for row in rows]}
    return Answer(data, settings_screen(rows, name))


@verb(verbs, "completion", 'eval "$(headrace completion bash)"', reads=True)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(call: Call, shell: str) -> Answer:
    """Print what makes a shell complete verbs, options and the keys of --set.

    Put the line of the example into ~/.bashrc or ~/.zshrc; for fish pipe it into `source`.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"no completion for {shell}", "there is one for bash, zsh and fish")
    script = kind(_command(), {}, "headrace", COMPLETE).source()
    return Answer({"shell": shell, "script": script}, script)


@verb(verbs, "doctor", "headrace doctor")
def doctor(call: Call) -> Answer:
    """Check what headrace needs, and say how to fix it."""
    from headrace.infra.configuration.settings import Shared

    settings = call.settings(Shared)
    from headrace.infra.doctor import examine

    found = examine(home(), settings)
    lines = [visible(f"{'ok  ' if c.ok else 'FAIL'} {c.name}: {c.mend}") for c in found.checks]
    return Answer(asdict(found), "\n".join(lines), 0 if found.ok else 2)
