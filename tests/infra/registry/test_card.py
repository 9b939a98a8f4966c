from pathlib import Path

from headrace.infra.registry.card import LENGTH, card, champion_card


def test_a_card_has_no_front_matter_and_fits_the_table(tmp_path: Path) -> None:
    assert card(tmp_path) is None
    (tmp_path / "README.md").write_text("---\nlicense: x\n---\n# Model\n" + "x" * LENGTH)
    made = card(tmp_path)
    assert made is not None and made.startswith("# Model") and len(made) == LENGTH


def test_a_champions_description_has_the_figures_only() -> None:
    made = champion_card("3", "# Model\nfigures\n\n## Lineage\nrest")
    assert made == "Champion: version 3, whose page has the whole card.\n\n# Model\nfigures"
    assert champion_card("3", None).startswith("Champion: version 3")
