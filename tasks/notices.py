"""Telling the owner by webhook: what failed, was refused, or waits for a person."""

from __future__ import annotations

import http.client
import json
import logging
import urllib.request
from pathlib import Path
from typing import Any

from headrace.infra import storage
from headrace.infra.home import home
from headrace.infra.settings import NotifySettings

logger = logging.getLogger(__name__)


def _file() -> Path:
    return home().root / "notify.json"


def keep(settings: NotifySettings) -> None:
    """Keep the webhook of the deployments: in their parameters everybody could read its token."""
    storage.write_private(_file(), {"webhook": settings.webhook})


def _kept() -> str | None:
    return storage.read_json(_file())["webhook"] if _file().exists() else None


def notify(
    settings: NotifySettings,
    flow: str,
    state: str,
    reason: str,
    command: str,
    links: dict[str, str | None],
) -> bool:
    """POST {flow, state, reason, command, links} to the webhook; whether it was taken.

    Args:
        settings: without a webhook that of `headrace deploy` is used, without that nothing is sent.
        flow: name of the flow.
        state: Failed, Crashed, Cancelled, Refused or Waiting.
        reason: one sentence.
        command: what resumes the work, or what decides.
        links: name -> URL of pages to look at.

    A webhook that doesn't answer is logged: it must not fail what it tells of.
    """
    webhook = settings.webhook or _kept()
    if not webhook:
        return False
    said: dict[str, Any] = {
        "flow": flow,
        "state": state,
        "reason": " ".join(reason.split()),
        "command": command,
        "links": {k: v for k, v in links.items() if v},
    }
    request = urllib.request.Request(
        webhook,
        json.dumps(said, ensure_ascii=False).encode(),
        {"content-type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        # The address may hold a token, so it is not logged.
        logger.warning("the webhook did not take the notice: %s", type(error).__name__)
        return False
    return True
