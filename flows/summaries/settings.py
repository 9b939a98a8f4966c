"""The end of `headrace settings`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.flows.summaries.layout import WIDTH, rule
from headrace.infra.configuration.setting_faults import written
from headrace.infra.visible import visible
from headrace.tasks.configuration.listed_settings import shown

if TYPE_CHECKING:  # a command's last screen imports nothing heavy
    from headrace.tasks.configuration.listed_settings import ListedSetting


def settings_screen(rows: Sequence[ListedSetting], verb: str | None) -> str:
    """The end of `headrace settings`: key and value, what it takes, what it means.

    Args:
        rows: the settings.
        verb: whose they are; None: of every verb.
    """
    lines, last = [], ""
    for row in rows:
        group = row.key.rpartition(".")[0]
        title = group or (f"headrace {row.verb}" if verb else "of every verb")
        if not group and not verb and row.verb != "run":
            title = f"headrace {row.verb}"
        if title != last:
            lines += ["", rule(title)]
            last = title
        default = "" if row.value == row.default else f", default {written(row.default)}"
        lines.append(f"  {row.key} = {shown(row.value)}   ({row.kind}{default})")
        lines += textwrap.wrap(row.meaning, WIDTH, initial_indent=" " * 6,
                               subsequent_indent=" " * 6)  # fmt: skip
    return "\n".join(visible(line) for line in lines[1:])
