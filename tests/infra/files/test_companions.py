import pytest

from headrace.infra.files.companions import why_none


@pytest.mark.parametrize(
    "name",
    [
        "README",
        "README.md",
        "readme.txt",
        "README.zh-CN.md",
        "README_en.rst",
        "LICENSE",
        "LICENCE.txt",
        "LICENSE-MIT",
        "COPYING",
        "NOTICE",
        "changelog.md",
        "CITATION.cff",
        "SHA256SUMS",
        "sha256sum.txt",
        "MD5SUMS.asc",
        "checksums.txt",
        "a.jsonl.md5",
        "a.jsonl.gz.sha256",
        "a.sha1.txt",
        ".part-0.crc",
        "a.sfv",
        "a.jsonl.asc",
        "x.jsonl.tmp",
        "y.part",
        "z.crdownload",
        "w._COPYING_",
        "notes.txt~",
        ".a.swp",
        "old.bak",
        "#draft#",
        "Thumbs.db",
        "desktop.ini",
    ],
)
def test_what_accompanies_data_is_none(name: str) -> None:
    assert why_none(name)


@pytest.mark.parametrize(
    "name",
    [
        "a.jsonl",
        "readme-0001.jsonl",
        "README.jsonl",
        "notice-0017.txt",
        "notices.txt",
        "license_1998_17.txt",
        "reading.md",
        "authors.jsonl",
        "changes.txt",
        "md5.txt",
        "checks.txt",
        "part-00000",
        "temp.txt",
        "backup.txt",
        "sum.csv",
        "data.parquet",
        "licensed.txt",
        "说明.txt",
    ],
)
def test_documents_of_similar_names_are_data(name: str) -> None:
    assert not why_none(name)
