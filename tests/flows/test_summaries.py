from dataclasses import replace
from typing import Any

import pytest

from headrace.flows.deployments import Deployed, Edit, Registered
from headrace.flows.summaries.chain import (
    gate_screen,
    metrics_screen,
    plan_screen,
    release_screen,
    round_screen,
)
from headrace.flows.summaries.drift import drift_screen
from headrace.flows.summaries.records import audit_screen, decision_screen
from headrace.flows.summaries.settings import settings_screen
from headrace.flows.summaries.stack import deployments_screen, stack_screen
from headrace.flows.summaries.status import status_screen
from headrace.flows.summaries.upkeep import backup_screen, litter_screen, restore_screen
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
from headrace.infra.json_types import Json
from headrace.infra.releases import FileNote
from headrace.infra.stack.stack import ServiceState
from headrace.infra.stack.ways_in import WaysIn
from headrace.tasks.configuration.kept_settings import Change as SettingChange
from headrace.tasks.configuration.listed_settings import ListedSetting
from headrace.tasks.gate.decisions import PersonDecision, Verified
from headrace.tasks.gate.promotion import Gated
from headrace.tasks.operations.backup import Backup
from headrace.tasks.operations.garbage import Collected, Removed
from headrace.tasks.operations.restore import Restored
from headrace.tasks.operations.status import Disk, Status, Waiting, WaitingAlert
from headrace.tasks.retraining.round import Retrained
from headrace.tasks.retraining.verdicts import Finding
from headrace.training.plan import DeviceBytes, Plan

DRIFT = Finding(drift=True, p_value=0.0005, effect=0.4, drifted=("lang",), report="/d")
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
    odd: list[FileNote] = [
        {"uri": f"/in/{k}.bz2", "why": "a bzip2-compressed file"} for k in range(50)
    ]
    out: list[FileNote] = [{"uri": "/in/README.md", "why": "describes the data"}]
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
    said = drift_screen([DRIFT])
    assert "DRIFT" in said and "lang" in said


@pytest.mark.parametrize(("champion", "said"), [("2", "PROMOTED:"), ("1", "no champion was moved")])
def test_only_a_moved_champion_is_called_promoted(champion: str, said: str) -> None:
    gated = Gated(decision("promote"), "promote", ("all holds",), "r", "2", champion)
    sides = dict.fromkeys(("new", "old"), Change(before=2.0, after=1.9))
    retraining = Retraining(steps=1, tokens=10, metrics=sides, judged_on="all")
    trained = Model(stage="ewc", retraining=retraining)
    assert said in round_screen(Retrained(None, champion, RELEASE, trained, gated))


def test_a_plan_says_whether_it_fits() -> None:
    parts = DeviceBytes(parameters=2**34, gradients=0, optimizer=0, activations=0)
    need = Plan(
        total_parameters=9, active_parameters=4, bytes_per_device=2**34, tokens_per_second=None,
        days=None, cost=None, bytes=parts, zero_stage=0, expert_parallel=1, device_bytes=2**33,
        fits=False,
    )  # fmt: skip
    said = plan_screen(need, "big", "8 h100")
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
    calm = Finding(window="/w1", drift=False, p_value=0.4, effect=0.01, report="/r1")
    sent = DRIFT.of(window="/w2")
    waits = sent.of(window="/w3", outbox="/o.json", alert_waits="no server is up")
    said = drift_screen([calm, sent, waits, Finding.unreadable("/w4", "not UTF-8")], ["few", "few"])
    assert said.endswith("waits                 few")
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


NOTHING = Status(
    champion=None, waiting=[], window=None, running=[], next=[], paused=[], alert_runs=[],
    stack_fault=None, alerts=[], decision=None, stack=None, disk=Disk(1, 1, {}),
)  # fmt: skip


def test_the_status_says_what_waits_with_its_page_and_the_last_decision() -> None:
    waits = Waiting("3", "r", compared_with="1", report="/x/gate.html")
    line: dict[str, Json] = {
        "number": 3, "model": "m", "action": "rollback", "version": "1", "from": "2", "to": "1",
        "who": "A. Lead", "why": "slower", "time": "2026-01-02T03:04:05+00:00",
    }  # fmt: skip
    said = status_screen(replace(NOTHING, decision=line, waiting=[waits]))
    assert "version 3, compared with version 1: /x/gate.html" in said
    assert "version 1 champion again" in said and "by A. Lead" in said and ": slower" in said
    assert "waits for a person    none" in status_screen(NOTHING)


def test_the_status_says_what_takes_the_room() -> None:
    parts = {"runs": 9_000_000_000, "logs": 500_000_000, "other": 1000}
    said = status_screen(replace(NOTHING, disk=Disk(1, 1, parts)))
    assert "runs 9.00 GB, logs 0.50 GB;" in said and "other" not in said


DEPLOYED = Deployed(
    deployments=[], without_worker=[], changed=[], edited=[], kept="/h/deploy.json",
    prefect="http://p", alerts_sent=0,
)  # fmt: skip


def test_deploying_shows_each_change_and_what_it_sets_back() -> None:
    changed = SettingChange("input", before=[], after=["/a"])
    edited = Edit("curate/daily", "output", before="/x", after=None)
    made = replace(DEPLOYED, changed=[changed], edited=[edited])
    said = deployments_screen(made)
    assert 'changed               input: [] -> ["/a"]' in said
    assert "set back              curate/daily output: /x -> null" in said
    assert "kept in               /h/deploy.json" in said and "no worker" not in said
    answer = made.as_json()
    assert answer["changed"] == [{"setting": "input", "from": [], "to": ["/a"]}]
    assert answer["edited"] == [
        {"deployment": "curate/daily", "parameter": "output", "from": "/x", "to": None}
    ]
    lacking = deployments_screen(replace(DEPLOYED, without_worker=["gpu"], alerts_sent=2))
    assert "no worker             gpu: runs there wait" in lacking
    assert "alerts                2 that waited were sent" in lacking


def test_what_is_paused_says_so() -> None:
    said = status_screen(replace(
        NOTHING, stack="http://p", paused=["automation on drift: alerts wait"],
        alerts=[WaitingAlert("/w", "/o", "the automation `on drift` is paused")],
    ))  # fmt: skip
    assert "paused                automation on drift: alerts wait" in said
    assert "alert waits           /w: the automation `on drift` is paused" in said
    silent = status_screen(replace(NOTHING, stack="http://p", stack_fault=" does not answer"))
    assert "stack                 http://p does not answer" in silent
    paused = Registered("curate/daily", "1", ["at 0 2 * * * UTC"], [],
                        ["the schedule at 0 2 * * * UTC"])  # fmt: skip
    shown = deployments_screen(replace(DEPLOYED, deployments=[paused]))
    assert "at 0 2 * * * UTC; paused: the schedule at 0 2 * * * UTC" in shown
    waits = DRIFT.of(outbox="/o.json", alert_waits="no server is up")
    assert "it waits in /o.json: no server is up" in drift_screen([waits])
    unknown = drift_screen([waits.of(alert_waits=None)])
    assert "it waits in /o.json" in unknown and "None" not in unknown


def test_the_stack_says_what_runs_and_how_to_get_in() -> None:
    service = ServiceState("mlflow", "http://127.0.0.1:5000", 7, "running")
    ways = WaysIn({"runs": "http://p/runs", "spark": None}, "headrace", "ssh -L 1:2:3 here")
    said = stack_screen([service], ways, ["gpu"], 1)
    assert "mlflow          http://127.0.0.1:5000" in said and "running" in said
    assert "http://p/runs" in said and "spark" not in said and "as `headrace`" in said
    assert "ssh -L 1:2:3 here, then the same addresses there" in said
    assert "gpu: runs there wait" in said and "1 that waited were sent" in said


def test_settings_are_grouped_and_show_a_default_that_does_not_apply() -> None:
    rows = [ListedSetting("run", "seed", 3, 1, "a number", "Seed."),
            ListedSetting("run", "spark.master", "local", "local", "text", "Where.")]  # fmt: skip
    said = settings_screen(rows, "run")
    assert "── headrace run" in said and "seed = 3   (a number, default 1)" in said
    assert "── spark" in said and "spark.master = local   (text)" in said
    assert "── of every verb" in settings_screen(rows, None)


def test_a_torn_line_is_told_and_explained() -> None:
    whole = Verified(lines=2, last="ab", torn=False, file="/a", unsigned=0)
    unsigned = whole.model_copy(update={"unsigned": 2})
    assert "not signed            2" in audit_screen(unsigned)
    assert "the chain holds" in audit_screen(whole) and "torn" not in audit_screen(whole)
    assert "never made" in audit_screen(whole.model_copy(update={"torn": True}))


def test_litter_is_listed_and_a_dry_run_claims_no_removal() -> None:
    old = Removed("unfinished curations", ".work/a", 3_000_000)
    made = Collected(
        removed=["runs/a"], kept=["runs/b"], expired=[old] * 2,
        prefect={"runs": 1200, "events": 3}, bytes=2_000_000, dry_run=False,
    )  # fmt: skip
    said = litter_screen(made)
    assert "removed               runs/a" in said and "2.0 MB; 1 folders stay" in said
    assert "unfinished curations: 2, 6.0 MB" in said and "1,200 runs, 3 events" in said
    assert "removed" not in litter_screen(replace(made, dry_run=True))


def test_a_backup_says_what_is_not_in_it_and_a_restore_what_comes_next() -> None:
    backup = Backup(
        backup="/b/1", id="1", files=1200, bytes=2_000_000, copied=3, copied_bytes=1_000_000,
        left_out=["logs"], outside=["/r"], audit_key="/k", audit_lines=1,
    )  # fmt: skip
    said = backup_screen(backup)
    assert "1,200, 2.0 MB" in said and "3, 1.0 MB; the rest is linked" in said
    assert "not in it             logs" in said and "outside, not in it    /r" in said
    assert "/k: the key of the audit file" in said
    restored = Restored(
        home="/h", backup="/b/1", id="1", made="2026-01-02", files=1, bytes=1, audit_lines=1,
        missing_keys=["x"], left_out=[], outside=[],
    )  # fmt: skip
    said = restore_screen(restored)
    assert "restored to           /h" in said and "/b/1, of 2026-01-02" in said
    assert "not here: put it back" in said and "`headrace up`" in said
    checked = restore_screen(replace(restored, home=None, missing_keys=[]))
    assert "restored to" not in checked and "next" not in checked and "audit key" not in checked
