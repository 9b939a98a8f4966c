"""Notices for the owner: what failed, was refused, or waits for a person.

They go to a webhook of one's own as JSON, and through notification blocks of the Prefect server
(Slack, Microsoft Teams, PagerDuty, e-mail), which hold their tokens there.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from headrace.infra.configuration.settings import NotifySettings
from headrace.infra.errors import UsageError
from headrace.infra.net import http_client
from headrace.infra.net.http_client import NoAnswerError
from headrace.infra.visible import visible
from headrace.tasks.configuration import kept_settings

if TYPE_CHECKING:
    from prefect.blocks.abstract import NotificationBlock

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Notice:
    """What the owner is to know; as JSON what the webhook receives."""

    flow: str
    state: str
    """Failed, Crashed, Cancelled, Refused, Waiting or Paused."""
    reason: str
    command: str
    """What resumes the work, or what decides."""
    links: Mapping[str, str]
    """Pages to look at."""


def notify(
    settings: NotifySettings,
    flow: str,
    state: str,
    reason: str,
    command: str,
    links: dict[str, str | None],
) -> bool:
    """Send {flow, state, reason, command, links}; whether all that should get it took it.

    Args:
        settings: what it leaves out is that of `headrace deploy`; without either nothing is sent.
        flow: name of the flow.
        state: Failed, Crashed, Cancelled, Refused, Waiting or Paused.
        reason: one sentence.
        command: what resumes the work, or what decides.
        links: name -> URL of pages to look at.

    A receiver that doesn't answer is logged: a notice must not fail what it reports.
    """
    kept = kept_settings.notify()
    webhook, blocks = settings.webhook or kept.webhook, settings.blocks or kept.blocks
    pages = {name: url for name, url in links.items() if url}
    notice = Notice(flow, state, " ".join(reason.split()), command, pages)
    taken = [_through(name, notice) for name in blocks]
    if webhook:
        taken.append(_post(webhook, notice))
    return bool(taken) and all(taken)


def check_blocks(names: Iterable[str]) -> None:
    """Load the notification blocks that settings name.

    Raises:
        UsageError: the server has no such block, or it can't notify.
    """
    for name in names:
        _block(name)


def _post(webhook: str, notice: Notice) -> bool:
    try:
        answer = http_client.ask(webhook, 10, method="POST", body=asdict(notice))
    except NoAnswerError:
        # The address may hold a token, and what the client says of it may quote it.
        logger.warning("the webhook did not accept the notice: it does not answer")
        return False
    if not answer.ok:
        logger.warning("the webhook did not accept the notice: it answers %d", answer.status)
    return answer.ok


def _through(name: str, notice: Notice) -> bool:
    try:
        block = _block(name)
        with block.raise_on_failure():
            sent: Any = block.notify(
                _body(notice), subject=f"headrace: {notice.flow} {notice.state}"
            )
            if inspect.isawaitable(sent):  # a block that is only asynchronous
                asyncio.run(_done(sent))
    except UsageError as error:
        logger.warning("no notice can be sent: %s", error.message)
        return False
    except Exception as error:  # each kind of block raises its own errors
        # The error may quote an address that holds a token, so it is not logged.
        logger.warning("%s did not accept the notice: %s", name, type(error).__name__)
        return False
    return True


async def _done(sent: Awaitable[Any]) -> None:
    await sent


def _body(notice: Notice) -> str:
    rows = [notice.reason, f"next: {notice.command}"]
    rows += [f"{name}: {url}" for name, url in notice.links.items()]
    return "\n".join(visible(row) for row in rows)


def _block(name: str) -> NotificationBlock:
    """Return a notification block of the server that this process uses, by `TYPE/NAME`."""
    if not os.environ.get("PREFECT_API_URL"):
        raise UsageError(
            f"notify.blocks: {name} lies on a Prefect server, and none is up",
            "start it: `headrace up`",
        )
    from prefect.blocks.abstract import NotificationBlock
    from prefect.blocks.core import Block

    hint = "make it in Prefect's pages under Blocks, or see `prefect block ls`"
    try:
        found: Any = Block.load(name, _sync=True)  # type: ignore[call-arg]
    except ValueError:
        raise UsageError(f"notify.blocks: the server has no block {name}", hint) from None
    if not isinstance(found, NotificationBlock):
        kinds = "slack-webhook, ms-teams-webhook, pager-duty-webhook, sendgrid-email"
        raise UsageError(f"notify.blocks: {name} can't notify", f"kinds that can: {kinds}, …")
    return found
