"""docs/settings.md: every setting with its kind, default and meaning, from the models.

Run: python -m headrace.tasks.settings_page > docs/settings.md
"""

from __future__ import annotations

from typing import Any, get_args

from headrace.infra.settings import fields
from headrace.tasks.settings import RunVerb

_HEAD = """# Settings

`--config FILE` (YAML) and `--set a.b=value`; the later wins. The keys are those of `headrace run`.
Under a verb of its own a key stands without that verb's name: `run --set curate.bias.threshold=0.2`
is `curate --set bias.threshold=0.2`. Under `retrain` those of `curate`, `gate` and `monitor` keep
theirs. An unknown key is an error that names the nearest one.

This page is made by `python -m headrace.tasks.settings_page`; a test holds it against the models.
"""


def _kind(kind: Any) -> str:
    plain = isinstance(kind, type) and not get_args(kind)
    return kind.__name__ if plain else str(kind).replace("typing.", "")


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def page() -> str:
    """The page as Markdown."""
    lines, last = _HEAD.rstrip().splitlines(), ""
    for key, field in fields(RunVerb):
        group = key.split(".")[0] if "." in key else "all verbs"
        if group != last:
            lines += ["", f"## {group}", "", "| key | kind | default | meaning |"]
            lines.append("|---|---|---|---|")
            last = group
        default = _cell(field.get_default(call_default_factory=True))
        kind, meaning = _cell(_kind(field.annotation)), _cell(field.description or "")
        lines.append(f"| `{key}` | {kind} | `{default}` | {meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
