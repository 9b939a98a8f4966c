"""Releases, deployments, thresholds and removals are lines of the audit file, each once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.infra import audit
from headrace.infra.json_types import Json
from headrace.infra.state.state_dir import Home
from headrace.tasks import audit_records

VALUE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
    ),
    max_leaves=6,
)


def lines(state: Path) -> list[Mapping[str, Json]]:
    return audit.read(state / "audit.jsonl")


def test_a_release_is_recorded_once(state: Path) -> None:
    folder = str(state / "releases" / "ab")
    for _ in range(2):
        audit_records.released(folder, "ab", None)
    audit_records.released("/elsewhere/ab", "ab", "cd")
    assert [(e["action"], e["release_id"], e["release"], e["parent"]) for e in lines(state)] == [
        ("release", "ab", "releases/ab", None), ("release", "ab", "/elsewhere/ab", "cd"),
    ]  # fmt: skip


def test_only_what_changed_of_thresholds_is_recorded(state: Path) -> None:
    policy: dict[str, Json] = {
        "alpha": 0.05,
        "metrics": [{"name": "a", "margin": 1}, {"name": "b", "margin": 2}],
    }
    audit_records.thresholds_used("gate policy x", policy)
    audit_records.thresholds_used("gate policy x", policy)
    audit_records.thresholds_used("drift", {"alpha": 0.005})
    changed: dict[str, Json] = {**policy, "metrics": [{"name": "a", "margin": 3}]}
    audit_records.thresholds_used("gate policy x", changed)
    audit_records.thresholds_used("drift", {"alpha": 0.005})
    assert [e["of"] for e in lines(state)] == ["gate policy x", "drift", "gate policy x"]
    last = lines(state)[-1]
    assert last["from"] == {"metrics.0.margin": 1, "metrics.1.name": "b", "metrics.1.margin": 2}
    assert last["to"] == {"metrics.0.margin": 3}
    assert last["account"] and last["hmac"]


@given(st.lists(st.dictionaries(st.sampled_from("pqr"), VALUE, max_size=3), max_size=6))
def test_the_lines_add_up_to_what_is_in_force(
    tmp_path_factory: Any, states: list[dict[str, Any]]
) -> None:
    import pytest

    home = Home(tmp_path_factory.mktemp("records"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_HOME", str(home.root))
        before = 0
        for last, now in zip([{}, *states], states, strict=False):
            audit_records.thresholds_used("of", now)
            made = audit.read(home.audit)
            assert audit_records._folded(made) == dict(audit_records._flat(now))
            same = list(audit_records._flat(now)) == list(audit_records._flat(last))
            assert not (same and len(made) > before and made[:-1])
            before = len(made)


def test_a_deployment_is_recorded_where_it_changes(state: Path) -> None:
    def deploy(**settings: Any) -> None:
        audit_records.deployed({"curate/daily": {"settings": settings}, "m/hourly": {}}, "headrace")

    deploy(seed=1, spark={"master": "spark://h:1", "conf": {"fs.s3a.secret.key": "s3cr3t"}})
    deploy(seed=1, spark={"master": "spark://h:2", "conf": {"fs.s3a.secret.key": "s3cr3t"}})
    assert len(lines(state)) == 1, "other ports are no other settings"
    deploy(seed=2, spark={"conf": {"fs.s3a.secret.key": "s3cr3t"}})
    first, second = lines(state)
    assert first["deployments"] == ["curate/daily", "m/hourly"]
    assert second["from"] == {"curate/daily: settings.seed": 1}
    assert second["to"] == {"curate/daily: settings.seed": 2}
    assert "s3cr3t" not in (state / "audit.jsonl").read_text()
    audit_records.deployed({"curate/daily": {"settings": {"seed": 2}}}, "headrace")
    assert lines(state)[-1]["deployments"] == ["curate/daily"]


def test_removals_are_recorded(state: Path) -> None:
    audit_records.removed(["runs/sft-1"], 100)
    (line,) = lines(state)
    assert (line["action"], line["removed"], line["bytes"]) == ("gc", ["runs/sft-1"], 100)
