"""The registered model: versions, decisions on them, and the one place that moves `champion`.

A decision is a line of the audit file first; alias and tags follow from the last line, at once or,
after a kill between both, when the model is next asked for.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.infra import audit
from headrace.infra.errors import NotPromotedError, UsageError
from headrace.infra.json_types import Json
from headrace.infra.registry import kept_registry, model_owner, rules
from headrace.infra.registry.card import LENGTH, card, champion_card
from headrace.infra.registry.rules import (
    COMPARED,
    GATE,
    NO_VERSION,
    PLACES,
    PROMOTE,
    REFUSE,
    ROLLBACK,
    WAITING,
    Decision,
    named,
)
from headrace.infra.state.state_dir import Home
from headrace.infra.tracking.runs import Tags, Tracking, found_or_none

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)

CHAMPION, CHALLENGER = "champion", "challenger"
_SET_BACK = "alias set back"
"""Action of an audit entry that decides nothing: the champion's alias was moved in MLflow."""
_ROLLED_BACK = "rolled back"
"""Tag `decision` of a version that a rollback led away from."""
_LINE = "audit_line"
"""Tag: the number of the last audit entry that was carried out on a version."""


@dataclass(frozen=True)
class Version:
    """A version of the registered model."""

    number: str
    run_id: str
    tags: dict[str, str]
    model: str
    """Name of the registered model."""
    home: Home

    @property
    def export(self) -> Path:
        """Folder of its weights.

        Raises:
            UsageError: the version doesn't say, since headrace did not register it.
        """
        return self.home.resolve(self._tag("export"))

    @property
    def release(self) -> str:
        """Folder of the release whose text, with its ancestors', is the model's corpus.

        Raises:
            UsageError: see `export`.
        """
        return str(self.home.resolve(self._tag("release")))

    def _tag(self, tag: str) -> str:
        if tag not in self.tags:
            raise UsageError(
                f"version {self.number} of {self.model} lacks the tag `{tag}`: it was not "
                "registered by headrace",
                f"set the tag in MLflow to the folder of its {tag}; or promote a version that has "
                "it: `headrace decide --version N --promote --by NAME --why TEXT`",
            )
        return self.tags[tag]


class Registry:
    """Versions of one registered model in a tracking store."""

    def __init__(self, tracking: Tracking, name: str) -> None:
        self.tracking, self.name = tracking, name
        self.client = tracking.client

    def _alias(self, alias: str) -> str | None:
        found = found_or_none(lambda: self.client.get_model_version_by_alias(self.name, alias))
        return None if found is None else str(found.version)

    def _versions(self) -> list[ModelVersion]:
        """Return all versions as MLflow has them, oldest first."""
        versions = self.client.search_model_versions(f"name='{self.name}'")
        return sorted(versions, key=lambda v: int(v.version))

    def version(self, number: str) -> Version:
        """Return a version by its number.

        Raises:
            UsageError: there is none.
        """
        found = found_or_none(lambda: self.client.get_model_version(self.name, number))
        if found is None:
            known = ", ".join(str(v.version) for v in self._versions()[-10:])
            raise UsageError(
                f"{self.name} has no version {number}", f"its last versions: {known or 'none yet'}"
            )
        return Version(
            number=str(found.version),
            run_id=str(found.run_id),
            tags=dict(found.tags),
            model=self.name,
            home=self.tracking.home,
        )

    def current(self, alias: str = CHAMPION) -> Version | None:
        """Return the version that an alias points at, after repairs; None without one."""
        if alias == CHAMPION:
            self.repair()
        number = self._alias(alias)
        return self.version(number) if number else None

    def champion(self) -> Version:
        """Return the champion.

        Raises:
            UsageError: there is none yet.
        """
        found = self.current()
        if found is None:
            raise UsageError(f"no champion of the model {self.name} yet", self._how_to_get_one())
        return found

    def _how_to_get_one(self) -> str:
        """Return what leads to a champion from where this model stands."""
        decide = "`headrace decide --version {} --promote --by NAME --why TEXT` promotes"
        if waiting := self.waiting():
            number = waiting[-1].number
            return f"version {number} waits for a person: {decide.format(number)} it"
        numbers = [int(v.version) for v in self.client.search_model_versions(f"name='{self.name}'")]
        if numbers:
            return f"no version was promoted yet: {decide.format(max(numbers))} the last one"
        others = sorted(m.name for m in self.client.search_registered_models())
        if others:
            return f"models here: {', '.join(others)} (--set model.name=NAME), or `headrace run`"
        return f"`headrace run` makes one in {self.tracking.home.root}"

    def register(self, run: str, export: Path, release: str, tags: Tags) -> str:
        """Register a gated challenger as `challenger`, and return its version number.

        The same run registers once, and so does the same export: judged again by other rules or
        against another champion it is still one model, and its tags say what was found last.
        A version that is decided on is no challenger any more.
        """
        from mlflow.exceptions import MlflowException

        home = self.tracking.home
        try:
            self.client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = ""
        if self._found(run, export) is None:
            # Before the lock is taken: sending it is slow.
            source = self.tracking.log_model(run, export, self.name)
        with audit.locked(home.audit):
            self._begin_decision()
            if found := self._found(run, export):
                number = found.number
                self._tag_again(number, tags)
                if "decision" in found.tags:
                    return number
            else:
                source = source or self.tracking.log_model(run, export, self.name)
                number = self._create(run, export, release, tags, source)
            self.client.set_registered_model_alias(self.name, CHALLENGER, number)
            return number

    def of_export(self, export: Path) -> Version | None:
        """Return the version that an export is registered as, None if it isn't."""
        return self._found(None, export)

    def _found(self, run: str | None, export: Path) -> Version | None:
        place = self.tracking.home.relative(export)
        for found in self._versions():
            if found.run_id == run or found.tags.get("export") == place:
                return self.version(str(found.version))
        return None

    def _create(self, run: str, export: Path, release: str, tags: Tags, source: str) -> str:
        home = self.tracking.home
        kept_registry.note(home, self.tracking.uri, own=self.tracking.artifacts is not None)
        all_tags = {**tags, "export": home.relative(export), "release": home.relative(release)}
        made = self.client.create_model_version(
            self.name,
            source=source,
            run_id=run,
            tags={k: str(v) for k, v in all_tags.items() if v is not None},
            description=card(export),
        )
        return str(made.version)

    def _tag_again(self, number: str, tags: Tags) -> None:
        """Tag a registered version with its new verdict, and what it was compared with."""
        for key in ("gate_decision", "parent_version"):
            if (value := tags.get(key)) is not None:
                self.client.set_model_version_tag(self.name, number, key, str(value))

    def move_champion(
        self,
        number: str,
        expected: str | None,
        who: str,
        why: str,
        run_id: str,
        **evidence: Json,
    ) -> None:
        """Promote a version as a gate: the audit entry first, synced; the alias follows from it.

        A verdict that is decided already moves nothing: what came after it stands, and so does a
        person's refusal of the version or rollback from it.

        Args:
            number: the version to promote.
            expected: the champion that it was compared against (None: there was none).
            who: the gate.
            why: one sentence.
            run_id: the gate's run, which makes the decision one of its kind.
            evidence: more fields of the line.

        Raises:
            NotPromotedError: another champion has come in since the comparison.
        """
        self.version(number)
        with audit.locked(self.tracking.home.audit):
            self._begin_decision()
            if not self._settled(number, expected, run_id):
                self._decide(PROMOTE, number, expected, number, who, why, run_id, **evidence)

    def decide(
        self, number: str, promote: bool, who: str, why: str, stale: bool = False
    ) -> Decision:
        """Record a person's decision on a version, whatever the gate said.

        A refusal moves nothing. Either way the version waits no longer.

        Args:
            number: the version.
            promote: make it the champion, or refuse it.
            who: the person.
            why: the reason.
            stale: promote what waits although another champion has come in since the comparison.

        Raises:
            UsageError: no such version, no person or no reason named, it is the champion already,
                or the comparison that it waits with is stale.
        """
        who, why = _given("--by", who), _given("--why", why)
        with audit.locked(self.tracking.home.audit):
            self._begin_decision()
            version, now = self.version(number), self._alias(CHAMPION)
            if version.number == now:
                hint = (
                    "`headrace audit show` says who decided so"
                    if promote
                    else "`headrace rollback` goes back to the champion before it"
                )
                raise UsageError(f"version {now} is the champion already", hint)
            if not promote:
                return self._decide(REFUSE, number, now, now, who, why, version.run_id)
            evidence: dict[str, Json] = {}
            if rival := rules.outdated_rival(version.tags, now):
                if not stale:
                    raise UsageError(
                        f"version {number} was compared with {named(rival)}, but the "
                        f"champion is {named(now or NO_VERSION)} by now",
                        "compare again: `headrace gate --champion champion --challenger "
                        f"{version.export}`; or promote it all the same with --stale",
                    )
                evidence = {"stale": True, COMPARED: rival}
            return self._decide(PROMOTE, number, now, number, who, why, version.run_id, **evidence)

    def rollback(self, who: str, why: str) -> Decision:
        """Make the champion before this one champion again.

        A second rollback goes one further back. Versions that were refused since, or deleted in
        MLflow, are passed by; the entry's `skipped` names them, the nearest first.

        Raises:
            UsageError: no person or no reason named, or there was no champion before that still is
                fit to be one.
        """
        who, why = _given("--by", who), _given("--why", why)
        with audit.locked(self.tracking.home.audit):
            self._begin_decision()
            back = rules.go_back(
                self._decisions(), self.name, lambda number: self._tags(number) is not None
            )
            before = self.version(back.to)
            return self._decide(
                ROLLBACK, before.number, back.before, before.number, who, why, before.run_id,
                skipped=[asdict(s) for s in back.skipped],
            )  # fmt: skip

    def approved(self) -> list[str]:
        """Return the versions that are approved, oldest first (`rules.approved`)."""
        return rules.approved(self._decisions())

    def mark_waiting(self, number: str, expected: str | None, run_id: str) -> bool:
        """Leave a gate's verdict to a person; return whether the version waits for one now.

        It doesn't where that verdict is decided already, so that no one is asked twice.

        Args:
            number: the version.
            expected: the champion that it was compared against (None: there was none).
            run_id: the gate's run.

        Raises:
            NotPromotedError: another champion has come in since the comparison.
        """
        with audit.locked(self.tracking.home.audit):
            self._begin_decision()
            if self._settled(number, expected, run_id):
                return False
            self.client.set_registered_model_alias(self.name, CHALLENGER, number)
            self.client.set_model_version_tag(self.name, number, COMPARED, expected or NO_VERSION)
            self.client.set_model_version_tag(self.name, number, WAITING, "true")
            return True

    def waiting(self) -> list[Version]:
        """Return the versions that wait for a person's decision, oldest first."""
        self.repair()
        return [self.version(str(v.version)) for v in self._versions() if WAITING in v.tags]

    def last_decision(self) -> Decision | None:
        """Return the last decision on this model, None before the first."""
        made = self._decisions()
        return made[-1] if made else None

    def since(self, number: str) -> str | None:
        """Return when a version last became champion (ISO 8601, UTC), None if it never did."""
        return rules.since(self._decisions(), number)

    def repair(self) -> None:
        """Make alias and tags what the last line of the audit file says (after a kill between)."""
        with audit.locked(self.tracking.home.audit):
            if self._other() is None:
                self._repair()

    def _begin_decision(self) -> None:
        """Repair, before this folder decides on the model; inside the audit file's lock.

        Raises:
            UsageError: another state folder decides on it.
        """
        if decided_at := self._other():
            raise model_owner.refuse(self.name, decided_at)
        self._repair()

    def _other(self) -> str | None:
        """Where another state folder decides on this model, on a server that both use."""
        if not self.tracking.shared:
            return None
        return found_or_none(lambda: model_owner.other(self.client, self.name, self.tracking.home))

    def _repair(self) -> None:
        torn = audit.unfinished(self.tracking.home.audit)
        if torn and torn.get("model") == self.name and self._carried_out(Decision.of(torn)):
            audit.finish(self.tracking.home.audit, torn)
        if made := self.last_decision():
            self._follow(made)

    def _carried_out(self, made: Decision) -> bool:
        """Return whether alias or tags show a decision, so that its entry was committed."""
        tags = self._tags(made.version) or {}
        moved = made.moved and self._alias(CHAMPION) == made.to
        return moved or tags.get(_LINE) == str(made.number)

    def _decisions(self) -> list[Decision]:
        return rules.decisions(audit.read(self.tracking.home.audit), self.name)

    def decided_by_person(self, number: str, expected: str | None, run_id: str) -> bool:
        """Whether a gate run's verdict on a version is settled, and by a person."""
        made = rules.settling(self._decisions(), number, expected, run_id)
        return made is not None and made.who != GATE

    def _settled(self, number: str, expected: str | None, run_id: str) -> bool:
        """Whether nothing is left to do of a gate's promotion; call inside the lock.

        Raises:
            NotPromotedError: another champion has come in since the comparison.
        """
        now = self._alias(CHAMPION)
        if now == number or rules.settling(self._decisions(), number, expected, run_id):
            return True
        if now != expected:
            raise NotPromotedError(
                f"the champion is {named(now or NO_VERSION)} by now, "
                f"compared was {named(expected or NO_VERSION)}: run it again",
                "the same command compares with the new champion",
            )
        return False

    def _decide(
        self,
        action: str,
        version: str,
        now: str | None,
        to: str | None,
        who: str,
        why: str,
        run_id: str,
        **evidence: Json,
    ) -> Decision:
        """Commit a decision and let the alias follow; call inside the audit file's lock."""
        tags = self._tags(version) or {}
        entry = audit.append(
            self.tracking.home.audit,
            action=action,
            model=self.name,
            version=version,
            who=who,
            why=why,
            run_id=run_id,
            **{"from": now, "to": to},
            **{place: tags.get(place) for place in PLACES},
            **evidence,
        )
        if self.tracking.shared:
            model_owner.claim(self.client, self.name, self.tracking.home)
        made = Decision.of(entry)
        self._follow(made)
        return made

    def _follow(self, made: Decision) -> None:
        """Carry out a decision: the one place where `champion` moves."""
        number, to = made.version, made.to
        tags = self._tags(number)
        done = tags is not None and tags.get(_LINE) == str(made.number)
        now = self._alias(CHAMPION)
        if to and not (done and now == to):
            if done and self._tags(to) is not None:
                self._report_edit(now, to)
            self._point(to)
        if tags is None or done:
            return
        if WAITING in tags:
            self.client.delete_model_version_tag(self.name, number, WAITING)
        self._tag_decision(number, made.action, made)
        left = made.before if made.action == ROLLBACK else None
        if left and self._tags(left) is not None:
            self._tag_decision(left, _ROLLED_BACK, made)
        # The number of the entry comes last: without it all of this is done again.
        self.client.set_model_version_tag(self.name, number, _LINE, str(made.number))

    def _report_edit(self, found: str | None, to: str) -> None:
        """Record that the champion's alias was moved in MLflow, before it is set back."""
        what = f"was moved to version {found}" if found else "was deleted"
        logger.warning(
            "the alias %s of %s %s in MLflow, which has no effect: it is moved back to "
            "version %s (`headrace decide` changes the champion)",
            CHAMPION,
            self.name,
            what,
            to,
        )
        audit.append(
            self.tracking.home.audit,
            action=_SET_BACK,
            model=self.name,
            alias=CHAMPION,
            why=f"the alias {what} in MLflow, without a decision",
            **{"from": found, "to": to},
        )

    def _tag_decision(self, number: str, decision: str, made: Decision) -> None:
        for key, value in (("decision", decision), ("decided_by", made.who), ("why", made.why)):
            self.client.set_model_version_tag(self.name, number, key, str(value)[:LENGTH])

    def _tags(self, number: str) -> dict[str, str] | None:
        """Tags of a version, None where it was deleted in MLflow since."""
        found = found_or_none(lambda: self.client.get_model_version(self.name, number))
        return None if found is None else dict(found.tags)

    def _point(self, number: str) -> None:
        found = found_or_none(lambda: self.client.get_model_version(self.name, number))
        if found is None:
            logger.warning("version %s of %s was deleted in MLflow", number, self.name)
            return
        self.client.set_registered_model_alias(self.name, CHAMPION, number)
        if self._alias(CHALLENGER) == number:
            # It isn't one any more; left, comparing the two aliases would compare it with itself.
            self.client.delete_registered_model_alias(self.name, CHALLENGER)
        self.client.update_registered_model(self.name, champion_card(number, found.description))


def _given(option: str, text: str) -> str:
    """Return what a person gave, without space around it.

    Raises:
        UsageError: nothing, or no text that can be stored.
    """
    text = text.strip()
    if not text or text != text.encode("utf-8", "replace").decode():
        raise UsageError(f"{option} needs a text", f"give {option} in words, as UTF-8")
    return text
