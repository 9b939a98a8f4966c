"""docs/settings.md: every setting with its kind, default and meaning, from the models.

Run: python -m headrace.tasks.reporting.settings_page > docs/settings.md
"""

from __future__ import annotations

from headrace.infra.configuration.setting_faults import takes, written
from headrace.infra.configuration.setting_tree import leaves
from headrace.infra.configuration.settings import Shared
from headrace.tasks.configuration.settings import RunConfig, UpConfig

_HEAD = """# Settings

Settings are given by `--config FILE` (YAML) and `--set a.b=value`; the later one wins. This page
has the keys of `headrace run`. Other verbs leave out their name: `run --set
curate.bias.threshold=0.2` is `curate --set bias.threshold=0.2`. Under `retrain` the keys of
`curate`, `gate` and `monitor` keep their verb's name. An unknown key is an error that names the
nearest one.

A key changes only that setting; the settings beside it keep their defaults. Defaults depend on the
place: `align.sft.optimizer.muon_lr` and `align.ppo.optimizer.muon_lr` have different ones. A list,
or a mapping that is a value (`curate.domain.targets`), replaces the default as a whole;
`--set curate.domain.targets.legal=0.6` changes one key of such a mapping. `null` is None.

YAML is read by the rules of YAML 1.2, which agree with JSON: `no` is a word, `1e-4` is a number,
and the file may be JSON. A key that is given twice, a tab, a key with dots (`semantics.threshold:
0.5` instead of `semantics: {threshold: 0.5}`), a tag, and settings that can never select anything
are refused, with line and column.

`python -m headrace.tasks.reporting.settings_page` makes this page, and a test compares it with the
models.
"""


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _group(key: str) -> str:
    return key.split(".")[0] if "." in key else "all verbs"


def page() -> str:
    """Return the page as Markdown."""
    lines, last = _HEAD.rstrip().splitlines(), ""
    rows = [(_group(key), key, field, default) for key, field, default in leaves(RunConfig)]
    of_up = [x for x in leaves(UpConfig) if x[0].split(".")[0] not in Shared.model_fields]
    rows += [("`up`; `retention` also `gc`", *x) for x in of_up]
    for group, key, field, default in rows:
        if group != last:
            lines += ["", f"## {group}", "", "| key | kind | default | meaning |"]
            lines.append("|---|---|---|---|")
            last = group
        kind, meaning = _cell(takes(field)), _cell(field.description or "")
        lines.append(f"| `{key}` | {kind} | `{_cell(written(default))}` | {meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
