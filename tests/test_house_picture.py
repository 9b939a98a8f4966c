"""The picture and the table of packages are those of the code."""

from house_picture import DOCS, ordered, page, svg

COMMAND = ".venv/bin/python tests/helpers/house_picture.py renews it"


def test_the_picture_of_the_packages_is_current() -> None:
    assert (DOCS / "packages.svg").read_text(encoding="utf-8") == svg(), COMMAND


def test_the_table_of_the_packages_is_current() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    assert page(text) == text, COMMAND


def test_an_importer_stands_left_of_what_it_imports() -> None:
    assert ordered("abc", {("c", "a"), ("a", "b")}) == ["c", "a", "b"]
    assert ordered("ab", {("a", "b"), ("b", "a")}) == ["a", "b"]
