"""Whose decisions move a model's champion, where several state folders use one MLflow.

On a server of others the registered model carries two tags: which audit file decides on it, by the
hash of its first line, which a moved or restored state folder has as well; and where that lies, for
people. The folder that decides first is the one; any other may look, and run stages, but neither
decides on the model nor sets anything back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.infra import audit
from headrace.infra.errors import UsageError
from headrace.infra.state.owner import place
from headrace.infra.state.state_dir import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient

DECIDED_BY, DECIDED_AT = "headrace.decided_by", "headrace.decided_at"


def other(client: MlflowClient, name: str, home: Home) -> str | None:
    """Where another state folder decides on a model; None where this one does, or none yet."""
    tags = client.get_registered_model(name).tags
    by = tags.get(DECIDED_BY)
    if by is None or by == audit.first_hash(home.audit):
        return None
    return str(tags.get(DECIDED_AT) or "another state folder")


def claim(client: MlflowClient, name: str, home: Home) -> None:
    """Note that this state folder decides on a model; nothing before its audit file has a line."""
    if (own := audit.first_hash(home.audit)) is None:
        return
    tags = client.get_registered_model(name).tags
    for tag, value in ((DECIDED_BY, own), (DECIDED_AT, place(home))):
        if tags.get(tag) != value:
            client.set_registered_model_tag(name, tag, value)


def refuse(name: str, decided_at: str) -> UsageError:
    """Return what keeps a state folder from deciding on another's model."""
    return UsageError(
        f"the model {name} is decided on by {decided_at}",
        "decide there, or use another name: --set model.name=NAME; if that folder no longer "
        f"exists, remove the tag {DECIDED_BY} of the registered model in MLflow",
    )
