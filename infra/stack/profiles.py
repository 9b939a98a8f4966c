"""The profiles, `--profile local` and `cluster`: settings for where a chain runs."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from headrace.infra.configuration.config_file import read_config
from headrace.infra.configuration.setting_tree import laid
from headrace.infra.configuration.settings import Shared
from headrace.infra.stack import record
from headrace.infra.state.state_dir import home

PROFILES = Path(__file__).resolve().parents[1] / "configs" / "profiles"
LOCAL = "local"


def profile_settings(name: str) -> dict[str, JsonValue]:
    """Return what a profile sets; the cluster is that of the stack while it is up."""
    profile = read_config(PROFILES / f"{name}.yaml").data
    if name == "cluster" and (up := record.running(home())):
        today: dict[str, JsonValue] = {
            "spark": {"master": up.spark_master, "event_log": up.event_log}
        }
        profile = laid(profile, today, Shared)
    return profile
