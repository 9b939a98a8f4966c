"""The page of settings says what the models say."""

from pathlib import Path

from headrace.tasks.reporting.settings_page import page

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_page_is_what_the_models_give() -> None:
    assert PAGE.read_text() == page(), (
        "python -m headrace.tasks.reporting.settings_page > docs/settings.md"
    )


def test_every_setting_has_a_meaning() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert not [row for row in rows if row.endswith("|  |")]
