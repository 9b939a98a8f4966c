from typing import Any

import pytest

from headrace.flows.summaries import (
    audit_screen,
    decision_screen,
    decisions_screen,
    deployments_screen,
    drift_screen,
    gate_screen,
    litter_screen,
    metrics_screen,
    plan_screen,
    release_screen,
    round_screen,
    status_screen,
)
from headrace.infra.artifacts import (
    Change,
    Compared,
    Decision,
    Evaluation,
    Figure,
    FileNotes,
    Model,
    Release,
    Retraining,
    Totals,
    Verdict,
)
from headrace.tasks.gate.decisions import PersonDecision, Verified
from headrace.tasks.gate.promotion import Gated
from headrace.tasks.retraining.round import Retrained
from headrace.tasks.retraining.verdicts import Finding

TOTALS = Totals(read=100, kept=90, rejected={"format": 2, "bias": 7}, unreadable=1)
RELEASE = Release(id="abc", folder="/r/abc", totals=TOTALS, input_bytes=2_500_000)


def of(**changed: Any) -> Release:
    """The release with other totals."""
    return RELEASE.model_copy(update={"totals": TOTALS.model_copy(update=changed)})


def test_the_ledger_is_shown_adding_up() -> None:
    said = release_screen(RELEASE)
    assert "100 = 90 + 9 + 1" in said and "format 2, bias 7" in said and "2.5 MB" in said


def test_a_ledger_that_does_not_add_up_is_not_hidden() -> None:
    assert "101 ≠ 90 + 9 + 1" in release_screen(of(read=101))


def test_files_that_are_unreadable_unusual_or_left_out_are_named() -> None:
    odd = [{"uri": f"/in/{k}.bz2", "why": "a bzip2-compressed file"} for k in range(50)]
    out = [{"uri": "/in/README.md", "why": "describes the data"}]
    said = release_screen(
        RELEASE.model_copy(
            update={
                "unreadable_files": FileNotes.of(odd),
                "noted_files": FileNotes.of([{"uri": "/in/b.json", "why": "a JSON array"}]),
                "left_out": FileNotes.of(out),
            }
        )
    )
    assert "/in/4.bz2: a bzip2-compressed file" in said and "/in/5.bz2" not in said
    assert "and 45 more: see the report" in said and "/in/b.json: a JSON array" in said
    assert "/in/README.md: describes the data" in said


def test_a_release_of_nothing_says_that_it_is_not_the_latest() -> None:
    said = release_screen(of(kept=0, rejected={"format": 99}))
    assert "latest.json doesn't point to this release" in said
    assert "latest.json" not in release_screen(RELEASE)


def test_a_round_without_drift_says_that_nothing_is_trained() -> None:
    finding = Finding(drift=False, report="/d")
    assert "nothing is trained" in round_screen(Retrained(finding, "1"))


def decision(verdict: Verdict, *reasons: str, **metrics: Compared) -> Decision:
    return Decision(
        decision=verdict, policy="default", champion="version 1", challenger="retrained",
        metrics=metrics, reasons=reasons, confidence=0.95, resamples=100, seed=1, folder="/g",
    )  # fmt: skip


def test_a_gate_names_its_reasons() -> None:
    metric = Compared(label="New text", champion=2.0, challenger=1.9, difference=-0.1,
                      interval=(-0.2, -0.05), verdict="better", n=9)  # fmt: skip
    said = gate_screen(decision("inconclusive", "Reward: not measured", new=metric))
    assert "INCONCLUSIVE" in said and "-0.100 [-0.200, -0.050]: better" in said
    assert "Reward: not measured" in said


def test_drift_names_what_shifted() -> None:
    said = drift_screen(
        {"drift": True, "p_value": 0.0005, "effect": 0.4, "drifted": ["lang"], "report": "/d"}
    )
    assert "DRIFT" in said and "lang" in said


@pytest.mark.parametrize(("champion", "said"), [("2", "PROMOTED:"), ("1", "no champion was moved")])
def test_only_a_moved_champion_is_called_promoted(champion: str, said: str) -> None:
    gated = Gated(decision("promote"), "promote", ("all holds",), "r", "2", champion)
    sides = dict.fromkeys(("new", "old"), Change(before=2.0, after=1.9))
    retraining = Retraining(steps=1, tokens=10, metrics=sides, judged_on="all")
    trained = Model(stage="ewc", retraining=retraining)
    assert said in round_screen(Retrained(None, champion, RELEASE, trained, gated))


def test_a_plan_says_whether_it_fits() -> None:
    data = {"total_parameters": 9, "active_parameters": 4, "tokens_per_second": None,
            "bytes_per_device": 2**34, "device_bytes": 2**33, "fits": False}  # fmt: skip
    said = plan_screen(data, "big", "8 h100")
    assert "16.0 of 8.0 GiB: does not fit" in said and "not measured" in said


FIGURE = Figure(value=2.0, low=1.9, high=2.1, n=9)


def test_an_evaluation_without_slices_says_why() -> None:
    alone = Evaluation(metrics={"bits_per_byte": FIGURE}, folder="/m")
    assert "neither `lang` nor `domain`" in metrics_screen(alone)
    both = Evaluation(
        metrics={"bits_per_byte": FIGURE, "bits_per_byte.lang=zh": FIGURE}, folder="/m"
    )
    assert "no slices" not in metrics_screen(both)


def test_an_evaluation_is_laid_out_by_language_and_domain() -> None:
    names = ("bits_per_byte", "bits_per_byte.lang=en", "bits_per_byte.lang=zh",
             "bits_per_byte.domain=legal")  # fmt: skip
    evaluation = Evaluation(
        metrics=dict.fromkeys(names, FIGURE), export="/m/export", folder="/m", record="metrics.json"
    )
    said = metrics_screen(evaluation).splitlines()
    assert said[1] == "  model                 /m/export"
    assert said[2].startswith("── bits per byte (lower is better), 95 % interval")
    assert [line.split()[0] for line in said[3:]] == [
        "all", "by", "en", "zh", "by", "legal", "file"
    ]  # fmt: skip
    assert said[5] == "    en                  2.000  [1.900, 2.100]  n 9"
    assert said[-1].endswith("/m/metrics.json")


def test_a_monitored_inbox_says_of_each_window_what_follows() -> None:
    calm = {"window": "/w1", "drift": False, "p_value": 0.4, "effect": 0.01, "drifted": [],
            "report": "/r1"}  # fmt: skip
    sent = {**calm, "window": "/w2", "drift": True, "drifted": ["lang"], "outbox": None}
    waits = {**sent, "window": "/w3", "outbox": "/o.json", "alert_waits": "no server is up"}
    odd = {"window": "/w4", "drift": None, "why": "not UTF-8", "report": None}
    said = drift_screen({**sent, "windows": [calm, sent, waits, odd]})
    parts = said.split("  window ")[1:]
    assert "alert" not in parts[0] and "no drift" in parts[0]
    assert "raised, and sent to Prefect" in parts[1]
    assert "retrain/on-drift learns the window" in parts[1]
    assert "raised; it waits in /o.json: no server is up" in parts[2]
    assert "verdict               unreadable: not UTF-8" in parts[3]


def test_a_decision_says_who_and_why() -> None:
    line = {"version": "2", "action": "refuse", "to": None, "who": "A. Lead", "why": "curt",
            "from": None}  # fmt: skip
    made = PersonDecision.model_validate(line)
    said = decision_screen(made)
    assert "version 2" in said and "refused, by A. Lead" in said and "curt" in said
    assert "champion              none" in said and "passed by" not in said
    passed = [{"version": "7", "because": "was refused"}]
    back = PersonDecision.model_validate({**line, "action": "rollback", "skipped": passed})
    assert "passed by             version 7 was refused" in decision_screen(back)


LINE = {"number": 3, "model": "m", "action": "rollback", "version": "1", "from": "2", "to": "1",
        "who": "A. Lead", "why": "slower", "time": "2026-01-02T03:04:05+00:00"}  # fmt: skip


def test_a_recorded_decision_says_version_who_and_why() -> None:
    refused = {**LINE, "number": 4, "action": "refuse", "version": "5", "from": "1"}
    said = decisions_screen([LINE, {**refused, "who": "gate"}]).splitlines()
    assert len(said) == 3 and said[1] == (
        "     3  m: version 1 champion again (champion 2 -> 1) by A. Lead, "
        "2026-01-02T03:04:05+00:00: slower"
    )
    assert "version 5 refused by gate" in said[2], "a refusal moves no champion"
    by_account = decisions_screen([{**LINE, "account": "deploy"}])
    assert by_account.endswith(": slower (account deploy)")
    assert "nothing yet" in decisions_screen([])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"action": "release", "release_id": "ab", "release": "releases/ab"},
         "release ab published as releases/ab"),
        ({"action": "deploy", "deployments": ["a/b"], "from": {}, "to": {"x": 1}},
         "deployed a/b; 1 values, all of them new"),
        ({"action": "thresholds", "of": "drift", "from": {"alpha": 0.1}, "to": {"alpha": 0.2}},
         "thresholds of drift: alpha: 0.1 -> 0.2"),
        ({"action": "thresholds", "of": "drift", "from": {f"p{i}": i for i in range(7)}, "to": {}},
         "p4: 4 -> none and 2 more"),
        ({"action": "gc", "removed": ["runs/a", "runs/b"], "bytes": 1}, "removed runs/a, runs/b"),
        ({"action": "gc", "expired": [{"kind": "damaged files", "items": 2}], "by": "worker"},
         "removed damaged files: 2"),
        ({"action": "gc", "prefect": {"runs": 3, "events": 0, "bytes": 9}},
         "removed 3 runs of Prefect"),
        ({"action": "alias set back", "model": "m", "from": "2", "to": "1", "why": "was moved"},
         "m: was moved; set back to version 1"),
        ({"action": "of a later version"}, "of a later version"),
    ],
)  # fmt: skip
def test_what_else_is_recorded_is_shown_with_its_account(line: dict[str, Any], said: str) -> None:
    more = {"number": 7, "time": "2026-01-02T03:04:05+00:00", "account": "deploy"}
    shown = decisions_screen([{**line, **more}]).splitlines()[1]
    assert said in shown and shown.endswith(", 2026-01-02T03:04:05+00:00 (account deploy)")


NOTHING = {
    "champion": None, "window": None, "decision": None, "waiting": [], "running": [], "next": [],
    "paused": [], "alerts": [], "alert_runs": [], "stack": None, "stack_fault": None,
    "disk": {"state_bytes": 1, "free_bytes": 1, "parts": {}},
}  # fmt: skip


def test_the_status_says_what_waits_with_its_page_and_the_last_decision() -> None:
    waits = {"version": "3", "run_id": "r", "compared_with": "1", "report": "/x/gate.html"}
    data = {**NOTHING, "decision": LINE, "waiting": [waits]}
    said = status_screen(data)
    assert "version 3, compared with version 1: /x/gate.html" in said
    assert "version 1 champion again" in said and "by A. Lead" in said and ": slower" in said
    assert "waits for a person    none" in status_screen({**data, "waiting": []})


def test_the_status_says_what_takes_the_room() -> None:
    parts = {"runs": 9_000_000_000, "logs": 500_000_000, "other": 1000}
    said = status_screen({**NOTHING, "disk": {"state_bytes": 1, "free_bytes": 1, "parts": parts}})
    assert "runs 9.00 GB, logs 0.50 GB;" in said and "other" not in said


DEPLOYED = {"deployments": [], "alerts_sent": 0, "prefect": "http://p", "changed": [], "edited": [],
            "kept": "/h/deploy.json", "without_worker": []}  # fmt: skip


def test_deploying_shows_each_change_and_what_it_sets_back() -> None:
    changed = {"setting": "input", "from": [], "to": ["/a"]}
    edited = {"deployment": "curate/daily", "parameter": "output", "from": "/x", "to": None}
    said = deployments_screen({**DEPLOYED, "changed": [changed], "edited": [edited]})
    assert 'changed               input: [] -> ["/a"]' in said
    assert "set back              curate/daily output: /x -> null" in said
    assert "kept in               /h/deploy.json" in said and "no worker" not in said
    lacking = deployments_screen({**DEPLOYED, "without_worker": ["gpu"]})
    assert "no worker             gpu: runs there wait" in lacking


def test_what_is_paused_says_so() -> None:
    said = status_screen({
        **NOTHING, "stack": "http://p", "paused": ["automation on drift: alerts wait"],
        "alerts": [{"window": "/w", "outbox": "/o", "why": "the automation `on drift` is paused"}],
    })  # fmt: skip
    assert "paused                automation on drift: alerts wait" in said
    assert "alert waits           /w: the automation `on drift` is paused" in said
    silent = status_screen({**NOTHING, "stack": "http://p", "stack_fault": " does not answer"})
    assert "stack                 http://p does not answer" in silent
    deployed = {"name": "curate/daily", "schedules": ["at 0 2 * * * UTC"], "automations": [],
                "paused": ["the schedule at 0 2 * * * UTC"]}  # fmt: skip
    shown = deployments_screen({**DEPLOYED, "deployments": [deployed]})
    assert "at 0 2 * * * UTC; paused: the schedule at 0 2 * * * UTC" in shown
    monitored = {"drift": True, "p_value": 0.1, "effect": 0.1, "drifted": ["lang"], "report": "/d",
                 "outbox": "/o.json", "alert_waits": "no server is up"}  # fmt: skip
    assert "it waits in /o.json: no server is up" in drift_screen(monitored)
    unknown = drift_screen({**monitored, "alert_waits": None})
    assert "it waits in /o.json" in unknown and "None" not in unknown


def test_a_torn_line_is_told_and_explained() -> None:
    whole = Verified(lines=2, last="ab", torn=False, file="/a", unsigned=0)
    unsigned = whole.model_copy(update={"unsigned": 2})
    assert "not signed            2" in audit_screen(unsigned)
    assert "the chain holds" in audit_screen(whole) and "torn" not in audit_screen(whole)
    assert "never made" in audit_screen(whole.model_copy(update={"torn": True}))


def test_litter_is_listed_and_a_dry_run_claims_no_removal() -> None:
    found = {
        "removed": ["runs/a"], "kept": ["runs/b"], "bytes": 2_000_000, "dry_run": False,
        "expired": [{"kind": "unfinished curations", "path": ".work/a", "bytes": 3_000_000}] * 2,
        "prefect": {"runs": 1200, "events": 3},
    }  # fmt: skip
    assert "removed               runs/a" in litter_screen(found) and "2.0 MB" in litter_screen(
        found
    )
    assert "unfinished curations: 2, 6.0 MB" in litter_screen(found)
    assert "1,200 runs, 3 events" in litter_screen(found)
    assert "removed" not in litter_screen({**found, "dry_run": True})
