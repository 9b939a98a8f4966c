"""The local stack from a command's point of view: started, and what waited for it done."""

from __future__ import annotations

from typing import Any

from headrace.infra import stack
from headrace.infra.home import home
from headrace.infra.stack import StackSettings
from headrace.tasks.alerts import send_outbox
from headrace.tasks.settings import UpVerb, component


def start_stack(settings: UpVerb) -> dict[str, Any]:
    """The answer of `headrace up`."""
    services = stack.up(home(), component(settings, StackSettings))
    return {"services": services, "alerts_sent": send_outbox()}
