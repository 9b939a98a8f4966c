"""The page of a release: what it must show, and that nothing of the input runs in it."""

from typing import Any

import pytest

from headrace.spark_jobs.curate.release_report import ReleaseFigures, figures, render
from headrace.spark_jobs.curate.release_writer import Example
from headrace.spark_jobs.curate.scan_counts import UnreadableRecord
from headrace.spark_jobs.settings import CurateSettings

MANIFEST: Any = {
    "release_id": "r1",
    "parent": None,
    "inputs": [{"uri": "pypi:p==1/x", "bytes": 10, "records": 7}],
    "config": CurateSettings().model_dump(mode="json"),
    "totals": {"read": 7, "kept": 4, "rejected": {"format": 1, "bias": 1}, "unreadable": 1},
    "warnings": {"repeated_ids": 0},
}
LINES = [
    ("pypi:p==1/x", "kept", "", "", "en", 4, 100, 0),
    ("pypi:p==1/x", "rejected", "bias", "bias.density", "zh", 1, 9, 0),
    ("pypi:p==1/x", "rejected", "format", "format.language", "fr", 1, 9, 0),
    ("pypi:p==1/x", "unreadable", "", "", "und", 1, 9, 0),
]
EXAMPLE: Example = {
    "id": "<b>id</b>", "source": "s<i>", "position": 3, "lang": "zh", "reason": "bias.density",
    "detail": "</details><script>x()</script>", "text": "<img src=x onerror=alert(1)>",
    "content_hash": "0",
}  # fmt: skip
HISTOGRAMS = {("bias_score", "zh"): [3, *[0] * 48, 1], ("semantic_score", "en"): [0] * 49 + [4]}


def page(**changes: Any) -> str:
    manifest: Any = {**MANIFEST, **changes}
    return render(figures(manifest, LINES, HISTOGRAMS, {"bias": [EXAMPLE]}))


def test_everything_from_the_input_is_escaped() -> None:
    html = page()
    for text in ("<b>id", "s<i>", "<script>", "<img src=x"):
        assert text not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_it_shows_reasons_scores_and_thresholds() -> None:
    html = page()
    for text in ("bias.density", "format.language", "dashed: threshold 0.3", "pypi:p==1/x", "r1"):
        assert text in html
    assert html.count("<svg") == 3


def test_it_says_where_records_were_repaired() -> None:
    assert "Repaired" not in page()
    totals = {**MANIFEST["totals"], "repaired": 2}
    manifest: Any = {**MANIFEST, "totals": totals}
    lines = [("odd <x>.jsonl", "kept", "", "", "en", 4, 100, 2), *LINES]
    html = render(figures(manifest, lines, HISTOGRAMS, {}))
    assert "Repaired" in html and "odd &lt;x&gt;.jsonl" in html and "repaired" in html


def test_it_names_the_licenses_that_are_known() -> None:
    known = [
        {"uri": "pypi:p==1/x", "bytes": 10, "records": 7, "licence": "CC BY-SA & more"},
        {"uri": "own.jsonl", "bytes": 5, "records": 1},
    ]
    html = page(inputs=known)
    assert "<th>license" in html and "CC BY-SA &amp; more" in html and "own.jsonl" in html
    assert "license" not in page()


def test_it_is_the_same_each_time_and_loads_nothing() -> None:
    html = page()
    assert html == page() and 'src="http' not in html and 'href="http' not in html


def test_nothing_rejected_and_repeated_ids() -> None:
    manifest: Any = {**MANIFEST, "warnings": {"repeated_ids": 1234}}
    html = render(figures(manifest, LINES[:1], {}, {}))
    assert "Nothing was rejected." in html and "1,234 records repeat" in html


@pytest.mark.parametrize("many", [39, 41])
def test_a_long_list_of_inputs_is_cut(many: int) -> None:
    inputs = [{"uri": f"file-{k:03d}", "bytes": k, "records": 1} for k in range(many)]
    html = page(inputs=inputs)
    assert ("and 1 smaller files" in html) == (many == 41)


def test_files_that_are_not_what_they_seem_are_listed_with_the_reason() -> None:
    inputs = [
        {"uri": "/in/a.bz2", "bytes": 9, "records": 1, "error": "a bzip2-compressed file"},
        {"uri": "/in/b.json", "bytes": 9, "records": 3, "note": "<i>a JSON array"},
        {"uri": "/in/c.jsonl", "bytes": 9, "records": 3},
    ]
    left_out = [{"uri": f"/in/{k}/README", "why": "describes the data"} for k in range(50)]
    html = page(inputs=inputs, left_out=left_out)
    for text in ("a bzip2-compressed file", "&lt;i&gt;a JSON array", "and 10 more; manifest.json"):
        assert text in html
    assert "Files of note" in html and "Files of note" not in page()


def test_the_page_is_made_of_figures_that_survive_a_file() -> None:
    lost: list[UnreadableRecord] = [{"source": "a.jsonl", "position": 3, "error": "no <JSON>"}]
    made = figures(MANIFEST, LINES, HISTOGRAMS, {"bias": [EXAMPLE]}, lost)
    stored = made.model_dump_json()
    assert "<div" not in stored and "<svg" not in stored
    again = ReleaseFigures.model_validate_json(stored)
    assert again == made and render(again) == render(made)
    assert "no &lt;JSON&gt;" in render(again) and "1 of 1; all of them" in render(again)
