"""The registered model: versions, and the one function that moves the alias `champion`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.infra import audit
from headrace.infra.errors import NotPromotedError, UsageError
from headrace.infra.tracking import Tracking

logger = logging.getLogger(__name__)

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class Version:
    """A version of the registered model."""

    number: str
    export: Path
    run_id: str
    release: str
    """Folder of the release whose text, with its ancestors', is the model's corpus."""
    tags: dict[str, str]


class Registry:
    """Versions of one registered model in a tracking store."""

    def __init__(self, tracking: Tracking, name: str) -> None:
        self.tracking, self.name = tracking, name
        self.client = tracking.client

    def _alias(self, alias: str) -> str | None:
        from mlflow.exceptions import MlflowException

        try:
            return str(self.client.get_model_version_by_alias(self.name, alias).version)
        except MlflowException:
            return None

    def version(self, number: str) -> Version:
        """A version by its number.

        Raises:
            UsageError: there is none.
        """
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_model_version(self.name, number)
        except MlflowException:
            raise UsageError(
                f"{self.name} has no version {number}", "see `headrace status`"
            ) from None
        home = self.tracking.home
        tags = dict(found.tags)
        return Version(
            number=str(found.version),
            export=home.resolve(tags["export"]),
            run_id=str(found.run_id),
            release=str(home.resolve(tags["release"])),
            tags=tags,
        )

    def current(self, alias: str = CHAMPION) -> Version | None:
        """The version that an alias points at, after repairs; None without one."""
        if alias == CHAMPION:
            self.repair()
        number = self._alias(alias)
        return self.version(number) if number else None

    def champion(self) -> Version:
        """The champion.

        Raises:
            UsageError: there is none yet.
        """
        found = self.current()
        if found is None:
            raise UsageError(
                f"no champion of the model {self.name} yet",
                "run `make run` or `headrace run` first",
            )
        return found

    def waiting(self):
        return []

    def last_decision(self):
        return None

    def since(self, number):
        return None

    def register(self, run: str, export: Path, release: str, tags: dict[str, Any]) -> str:
        """The version number of a gated challenger, which gets the alias `challenger`.

        The same run registers once, and so does the same export: judged again by other rules it
        is still one model.
        """
        from mlflow.exceptions import MlflowException

        home = self.tracking.home
        try:
            self.client.create_registered_model(self.name)
        except MlflowException:
            logger.debug("%s is registered already", self.name)
        for found in self.client.search_model_versions(f"name='{self.name}'"):
            if found.run_id == run or found.tags.get("export") == home.relative(export):
                return str(found.version)
        self.tracking.log_file(run, export, "model")
        all_tags = {**tags, "export": home.relative(export), "release": home.relative(release)}
        made = self.client.create_model_version(
            self.name,
            source=f"{self.client.get_run(run).info.artifact_uri}/model",
            run_id=run,
            tags={k: str(v) for k, v in all_tags.items() if v is not None},
        )
        self.client.set_registered_model_alias(self.name, CHALLENGER, str(made.version))
        return str(made.version)

    def move_champion(
        self,
        number: str,
        expected: str | None,
        who: str,
        why: str,
        run_id: str,
        **evidence: Any,
    ) -> None:
        """Make a version the champion: the audit line first, synced; the alias follows from it.

        Args:
            number: the version to promote.
            expected: the champion that it was compared against (None: there was none).
            who: a person, or the gate.
            why: one sentence.
            run_id: the gate's run, which makes the decision one of its kind.
            evidence: more fields of the line.

        Raises:
            NotPromotedError: another champion has come in since the comparison.
        """
        self.version(number)
        with audit.locked(self.tracking.home.audit):
            self._repair()
            now = self._alias(CHAMPION)
            done = audit.read(self.tracking.home.audit)
            same = [e for e in done if e["to"] == number and e.get("run_id") == run_id]
            if now == number or same:
                # This very decision is recorded; what came after it stands.
                return
            if now != expected:
                raise NotPromotedError(
                    f"the champion is version {now}, but the gate compared with {expected}",
                    "run the gate again against the new champion",
                )
            audit.append(
                self.tracking.home.audit,
                action="promote",
                model=self.name,
                who=who,
                why=why,
                run_id=run_id,
                **{"from": now, "to": number},
                **evidence,
            )
            self._point(number)

    def repair(self) -> None:
        """Make the alias what the last line of the audit file says (after a kill between both)."""
        with audit.locked(self.tracking.home.audit):
            self._repair()

    def _repair(self) -> None:
        moves = [e for e in audit.read(self.tracking.home.audit) if e.get("model") == self.name]
        if moves and self._alias(CHAMPION) != moves[-1]["to"]:
            self._point(moves[-1]["to"])

    def _point(self, number: str) -> None:
        self.client.set_model_version_tag(self.name, number, "gate_decision", "promote")
        self.client.set_registered_model_alias(self.name, CHAMPION, number)
        if self._alias(CHALLENGER) == number:
            # It isn't one any more; left, comparing the two aliases would compare it with itself.
            self.client.delete_registered_model_alias(self.name, CHALLENGER)
