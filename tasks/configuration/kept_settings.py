"""The settings that `headrace deploy` and `headrace up` keep, in `deploy.json` of the state folder.

    {"profile": "local", "settings": {"input": ["/data/corpus"], "notify": {"webhook": "https://…"}},
     "up": {"retention": {"days": 90}}}

The work pools, which both need, stand under `settings`. The database is not in it (database.py).
Only what was given is kept, so that everything else follows the defaults of the version that runs.
The file may hold the token of a webhook: its owner alone can read it, and no parameter of a
deployment holds what stands under `notify`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue

from headrace.infra import storage
from headrace.infra.configuration.config_file import Config, read_config
from headrace.infra.configuration.setting_tree import leaves
from headrace.infra.configuration.settings import NotifySettings, build, layered
from headrace.infra.errors import HeadraceError, UsageError
from headrace.infra.stack.profiles import LOCAL, profile_settings
from headrace.infra.stack.stack import StackSettings
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration.settings import DeployConfig, UpConfig

BASE: dict[str, JsonValue] = {"pretrain": {"processes": 2}}
"""Defaults of a deployed chain that differ from a command's: it trains in two processes, half of
the experts in each."""
BASE_CONFIG = Config("the defaults of deploy", BASE)
_OF_UP = ("ports", "retention", "pools", "variables")
"""Settings that `up` keeps."""
SECRET = "…"  # nosec B105 # shown instead of one
"""What is shown of a setting that may hold a token."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """What earlier calls of `deploy` were given."""

    profile: str | None = None
    """`--profile`, None where it was never given."""
    settings: Config = field(default_factory=lambda: Config("deploy.json"))
    stack: Config = field(default_factory=lambda: Config("deploy.json"))
    """What earlier calls of `up` were given, without the pools."""


def path() -> Path:
    """Return the path of the file."""
    return home().root / "deploy.json"


def read(without_stack: bool = False) -> Kept:
    """Return what is kept; nothing before the first `deploy`.

    Args:
        without_stack: leave out what `up` was given.

    Raises:
        UsageError: the file is damaged, or was kept by a version that knew other settings.
    """
    if not path().exists():
        return _of_earlier_versions()
    try:
        file = read_config(path())
        profile = file.data.get("profile")
        kept = Kept(profile if isinstance(profile, str) else None, file.section("settings"))
        if not without_stack:
            kept = replace(kept, stack=file.section("up"))
        build(DeployConfig, kept.settings)
        build(StackSettings, kept.stack)
    except UsageError as error:
        hint = "fix the file, or forget everything that is kept: `headrace deploy --reset`"
        raise UsageError(error.message, f"{error.hint}; {hint}" if error.hint else hint) from None
    return kept


def _of_earlier_versions() -> Kept:
    """Return the webhook that versions before `deploy.json` kept in `notify.json`."""
    old = home().root / "notify.json"
    if not old.exists():
        return Kept()
    try:
        webhook = storage.read_json(old)["webhook"]
    except (OSError, ValueError, KeyError, TypeError):
        logger.warning("%s can't be read: its webhook is not taken over", old)
        return Kept()
    return Kept(settings=Config(str(old), {"notify": {"webhook": webhook}} if webhook else {}))


def effective(
    kept: Kept, profile: Mapping[str, JsonValue], given: Iterable[Config] = ()
) -> DeployConfig:
    """Merge the settings that deployments get: defaults, profile, what is kept, what is given.

    Paths are absolute, so that they mean the same to the next `deploy`, called from elsewhere.

    Raises:
        UsageError: an unknown key or a wrong value.
    """
    base = [BASE_CONFIG, Config("the profile", dict(profile))]
    return absolute(layered(DeployConfig, [*base, kept.settings, *given]))


def today() -> DeployConfig:
    """Return the settings that the next `deploy` would use, were it given nothing.

    Raises:
        UsageError: see `read`.
    """
    kept = read()
    return effective(kept, profile_settings(kept.profile or LOCAL))


def absolute(settings: DeployConfig) -> DeployConfig:
    """Return the settings with absolute local paths; URIs stay as they are."""
    policy = settings.gate.policy
    # What is no file may be the name of a shipped policy.
    if policy and Path(policy).is_file():
        policy = storage.display(policy)
    return settings.model_copy(
        update={
            "input": tuple(map(storage.display, settings.input)),
            **{
                name: storage.display(value)
                for name in ("output", "inbox", "file")
                if (value := getattr(settings, name))
            },
            "gate": settings.gate.model_copy(update={"policy": policy}),
        }
    )


def keep(kept: Kept, given: Iterable[Config], profile: str | None, settings: DeployConfig) -> None:
    """Write what is kept from now on: the values in `settings` of all that was ever given."""
    sources = [kept.settings.data, *(source.data for source in given)]
    _write(profile, _named(DeployConfig, sources, settings), kept.stack.data)


def _write(
    profile: str | None, settings: Mapping[str, JsonValue], of_up: Mapping[str, JsonValue]
) -> None:
    found = {"profile": profile, "settings": settings, **({"up": of_up} if of_up else {})}
    storage.write_private(path(), found)
    (home().root / "notify.json").unlink(missing_ok=True)


def _named(
    model: type[BaseModel], sources: Sequence[Mapping[str, JsonValue]], settings: BaseModel
) -> dict[str, JsonValue]:
    """Return the values in `settings` of what any source gives a value for, nested."""
    named = [key for key, _, _ in leaves(model) if any(_names(s, key) for s in sources)]
    values = settings.model_dump(mode="json")
    out: dict[str, JsonValue] = {}
    for key in named:
        *sections, name = key.split(".")
        inner, value = out, values
        for section in sections:
            deeper = inner.setdefault(section, {})
            assert isinstance(deeper, dict), "a section holds settings"
            inner, value = deeper, value[section]
        inner[name] = value[name]
    return out


def of_up(kept: Kept, profile: Mapping[str, JsonValue], given: Iterable[Config] = ()) -> UpConfig:
    """Merge the settings that `up` works with: defaults, profile, what is kept, what is given.

    Raises:
        UsageError: an unknown key or a wrong value.
    """
    pools = {k: v for k, v in kept.settings.data.items() if k == "pools"}
    base = [Config("the profile", dict(profile)), Config(kept.settings.name, pools)]
    return layered(UpConfig, [*base, kept.stack, *given])


def keep_up(kept: Kept, given: Iterable[Config], settings: UpConfig) -> None:
    """Write what `up` was given, for its next call and for `deploy`'s.

    Args:
        kept: what it worked with.
        given: settings that it was given.
        settings: of all this.
    """
    of_up = [{k: v for k, v in source.data.items() if k in _OF_UP} for source in given]
    if not any(of_up) and kept.stack.data == read().stack.data:
        return
    pools = [{k: v for k, v in d.items() if k == "pools"} for d in (kept.settings.data, *of_up)]
    rest = [{k: v for k, v in d.items() if k != "pools"} for d in of_up]
    _write(
        kept.profile,
        {**kept.settings.data, **_named(UpConfig, pools, settings)},
        _named(UpConfig, [kept.stack.data, *rest], settings),
    )


def _left() -> Path:
    return home().root / "deployed.json"


def left() -> dict[str, dict[str, JsonValue]]:
    """{deployment: parameters} as the last `deploy` left them on the server, to tell edits by."""
    try:
        found = storage.read_json(_left())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def leave(parameters: Mapping[str, JsonValue]) -> None:
    """Remember what `deploy` leaves on the server."""
    storage.write_json(_left(), parameters)


def _names(data: Mapping[str, JsonValue], key: str) -> bool:
    """Whether a nested mapping gives a value for a dotted key."""
    inner: Any = data
    for part in key.split("."):
        if not isinstance(inner, Mapping) or part not in inner:
            return False
        inner = inner[part]
    return True


@dataclass(frozen=True)
class Change:
    """A setting that changes."""

    setting: str
    """Its dotted key."""
    before: JsonValue
    after: JsonValue


def difference(old: DeployConfig, new: DeployConfig) -> list[Change]:
    """Every setting that changes; secrets are not shown."""
    out = []
    for key, field_, _ in leaves(DeployConfig):
        before, after = (_value(s, key) for s in (old, new))
        if before != after:
            shown = (before, after) if field_.repr else (_hidden(before), _hidden(after))
            out.append(Change(key, *shown))
    return out


def _value(settings: BaseModel, key: str) -> JsonValue:
    value: JsonValue | tuple[JsonValue, ...] = attrgetter(key)(settings)
    return list(value) if isinstance(value, tuple) else value


def _hidden(value: object) -> str | None:
    return None if value is None else SECRET


def notify() -> NotifySettings:
    """Return where the deployments' notices go.

    A file that can't be read is logged, not raised: a notice must not fail what it reports.
    """
    try:
        return build(DeployConfig, read().settings).notify
    except HeadraceError as error:
        logger.warning("no notice can be sent: %s", error.message)
        return NotifySettings()
