"""The code's identity: what computes counts, what operates doesn't, wherever the code lies."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from headrace.infra import code_identity
from headrace.infra.code_identity import (
    OPERATING,
    Closure,
    closure,
    code_version,
    digest,
    operates,
)

ROOT = Path(__file__).parents[2]
CURATION = "spark_jobs.curate.steps"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the layers that a release is made by, and of training."""
    root = tmp_path_factory.mktemp("tree")
    for layer in ("spark_jobs", "infra", "training"):
        shutil.copytree(ROOT / layer, root / layer, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def edited(tree: Path, name: str, entry: str = CURATION) -> bool:
    """Whether an edit of a file (a new one, where it isn't there) changes the identity."""
    path, before = tree / name, digest(closure(entry, root=tree))
    content = path.read_bytes() if path.exists() else None
    path.write_bytes((content or b"") + b"\n# edited\n")
    try:
        return digest(closure(entry, root=tree)) != before
    finally:
        path.unlink() if content is None else path.write_bytes(content)
        assert digest(closure(entry, root=tree)) == before


@pytest.mark.parametrize(
    "name",
    [
        "infra/deploy/prefect.yaml", "infra/configs/gate/default.yaml", "infra/constraints.txt",
        "infra/doctor.py", "infra/console.py", "infra/stack/stack.py",
        "infra/stack/services.py",
        "infra/configuration/settings.py", "infra/configuration/config_file.py",
        "infra/spark/submit.py", "infra/state/state_dir.py",
        "infra/registry/versions.py", "infra/a_new_module.py", "infra/corpora/base.py",
        "spark_jobs/curate/release_report.py", "spark_jobs/fit/semantics.py",
        "spark_jobs/tokens/tokenizer.py",
        "spark_jobs/levels/data/l2_semantics.md", "training/pretrain.py",
    ],
)  # fmt: skip
def test_what_operates_leaves_the_id_of_a_release(tree: Path, name: str) -> None:
    assert not edited(tree, name)


@pytest.mark.parametrize(
    "name",
    [
        "spark_jobs/kernels/minhash.py", "spark_jobs/kernels/__init__.py",
        "spark_jobs/reading/reader.py",
        "spark_jobs/reading/web_archive.py", "spark_jobs/reading/records.py",
        "spark_jobs/facts/dates.py",
        "spark_jobs/levels/l4_bias.py", "spark_jobs/levels/__init__.py",
        "spark_jobs/levels/data/l2_semantics.npz", "spark_jobs/levels/data/l4_groups.json",
        "spark_jobs/levels/data/a_new_table.json", "spark_jobs/curate/release_writer.py",
        "spark_jobs/settings.py", "infra/storage.py", "infra/schemas.py", "infra/spark/session.py",
        "infra/lineage.py",
    ],
)  # fmt: skip
def test_what_computes_changes_the_id_of_a_release(tree: Path, name: str) -> None:
    assert edited(tree, name)


def test_a_step_has_an_identity_of_its_own(tree: Path) -> None:
    assert edited(tree, "spark_jobs/tokens/tokenizer.py", "spark_jobs.tokens.tokenize_job")
    assert not edited(tree, "spark_jobs/levels/l4_bias.py", "spark_jobs.tokens.tokenize_job")
    assert edited(tree, "training/moe/router.py", "training")
    assert not edited(tree, "training/plan.py", "training")
    assert not edited(tree, "infra/doctor.py", "training")
    assert not edited(tree, "spark_jobs/reading/reader.py", "training")
    assert len({code_version(x) for x in (CURATION, "spark_jobs", "training", "expectations")}) == 4


def test_the_list_of_what_operates_names_what_exists_and_says_why() -> None:
    for name, reason in OPERATING.items():
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or path.is_dir(), name
        assert len(reason.split()) >= 2, name
    assert operates("spark_jobs.fit.bias") and not operates("spark_jobs.fitting")


def package(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


FILES = {
    "jobs/__init__.py": "",
    "jobs/main.py": "import json, numpy.linalg\nfrom headrace.jobs import top\n"
    "def late():\n    from headrace.jobs.deep.lazy import f\n    return f\n"
    "START = 'headrace.jobs.named'\nTEXT = 'see headrace.jobs.unused for more'\n",
    "jobs/top.py": "from headrace.jobs.main import late\n"
    "from headrace.infra import console, store\n",
    "jobs/deep/__init__.py": "import headrace.jobs.inits as inits\n",
    "jobs/deep/lazy.py": "def f(): pass\n",
    "jobs/deep/data/weights.json": "{}",
    "jobs/deep/data/more/table.npz": "x",
    "jobs/deep/data/card.md": "x",
    "jobs/inits.py": "",
    "jobs/named.py": "",
    "jobs/unused.py": "import torch\n",
    "jobs/data/main.json": "{}",
    "other/data/no.json": "{}",
    "infra/__init__.py": "",
    "infra/store.py": "",
    "infra/console.py": "from headrace.jobs import unused\n",
}


def test_the_closure_follows_every_kind_of_import(tmp_path: Path) -> None:
    found = closure("jobs.main", root=package(tmp_path, FILES))
    assert set(found.sources) == {
        "jobs", "jobs.main", "jobs.top", "jobs.deep", "jobs.deep.lazy", "jobs.inits", "jobs.named",
        "infra", "infra.store",
    }  # fmt: skip
    assert set(found.data) == {
        "jobs/data/main.json", "jobs/deep/data/weights.json", "jobs/deep/data/more/table.npz"
    }  # fmt: skip
    assert found.libraries == {"json", "numpy"}
    everything = set(closure("jobs", root=tmp_path).sources)
    assert everything == {*found.sources, "jobs.unused"}
    with pytest.raises(ModuleNotFoundError, match=r"jobs\.none"):
        closure("jobs.none", root=tmp_path)


def test_it_depends_on_content_and_names_not_on_place_or_order(tmp_path: Path) -> None:
    one = package(tmp_path / "one", FILES)
    two = package(tmp_path / "two", dict(reversed(FILES.items())))
    assert digest(closure("jobs.main", root=one)) == digest(closure("jobs.main", root=two))
    (two / "jobs/deep/lazy.py").rename(two / "jobs/deep/renamed.py")
    assert digest(closure("jobs.main", root=one)) != digest(closure("jobs.main", root=two))


def test_the_version_of_a_library_counts_and_its_build_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, ids = Closure(libraries={"numpy", "json", "none_such"}), []
    for version in ("2.4.6", "2.4.6+cpu", "2.5.0"):
        monkeypatch.setattr("importlib.metadata.version", lambda _, v=version: v)
        ids.append(digest(found))
    assert ids[0] == ids[1] != ids[2]


def test_the_code_in_a_zip_is_the_same_code(tmp_path: Path) -> None:
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("headrace/__init__.py", "")
        for layer in ("spark_jobs", "infra"):
            for path in (ROOT / layer).rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    z.write(path, Path("headrace") / path.relative_to(ROOT))
    code = "from headrace.infra import code_identity as c; print(c.__file__, c.code_version"
    said = subprocess.run(
        [sys.executable, "-c", f"{code}('{CURATION}'))"],
        env={**os.environ, "PYTHONPATH": str(archive)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said[0].startswith(str(archive)) and said[1] == code_version(CURATION)


def page(html: str) -> bytes:
    """A web archive of one page."""
    http = StatusAndHeaders("200 OK", [("Content-Type", "text/html; charset=utf-8")], "HTTP/1.1")
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=False)
    body = io.BytesIO(html.encode())
    writer.write_record(
        writer.create_warc_record("http://a.example/", "response", payload=body, http_headers=http)
    )
    return out.getvalue()


WATCH = """
import os, sys
log = os.open(os.environ["WATCHED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def watch(event, args):
    if event == "import" and str(args[0]).startswith("headrace."):
        os.write(log, f"import {args[0]}\\n".encode())
    elif event == "open" and str(args[0]).startswith(os.environ["WATCHED_ROOT"]):
        os.write(log, f"open {args[0]}\\n".encode())
sys.addaudithook(watch)
"""

CURATE = """
import json, sys
from headrace.infra.spark import session as spark
from headrace.infra.configuration.settings import SparkSettings
from headrace.spark_jobs.curate import inventory_job, release_job, steps
from headrace.spark_jobs.settings import CurateJob
job = CurateJob.model_validate(json.loads(sys.argv[1]))
session = spark.session(SparkSettings(master="local[1]"))
inventory = inventory_job.take(job)
for name in ("scan", "deduplicate"):
    steps.STEPS[name](session, job, inventory)
draft = release_job.write(session, job, inventory)
print(release_job.publish(job, draft)["release_id"])
"""


@pytest.mark.spark
def test_all_that_a_curation_imports_and_reads_counts_or_operates(tmp_path: Path) -> None:
    text = "The committee met in the capital and agreed that the plan should be carried out. " * 6
    rows = [{"text": f"{text} Item {n} costs 3 + 4 = 7 euros since 1990."} for n in range(12)]
    rows += [
        {"text": "委员会在首都开会，一致同意按照原定方案推进各项工作。" * 5},
        {"text": "Le tribunal."},
    ]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(map(json.dumps, [*rows, rows[0]])))
    (tmp_path / "in" / "b.warc").write_bytes(page(f"<html><body><p>{text}</p></body></html>"))
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    job = {"inputs": [{"uri": str(tmp_path / "in")}], "output": str(tmp_path / "out"),
           "settings": {"input": {"max_unreadable": 1}}}  # fmt: skip
    subprocess.run(
        [sys.executable, "-c", CURATE, json.dumps(job)],
        env={
            **os.environ,
            "PYTHONPATH": str(tmp_path / "watch"),
            "WATCHED": str(tmp_path / "log"),
            "WATCHED_ROOT": f"{ROOT}{os.sep}",
        },
        check=True,
    )
    lines = [line.split(" ", 1) for line in (tmp_path / "log").read_text().splitlines()]
    found = closure(CURATION)
    imported = {name.removeprefix("headrace.") for kind, name in lines if kind == "import"}
    modules = {m for m in imported if code_identity._module(ROOT, m) is not None}
    assert {
        "spark_jobs.curate.scan_job",
        "spark_jobs.levels.l4_bias",
        "spark_jobs.reading.web_archive",
    } <= modules
    assert sorted(m for m in modules - set(found.sources) if not operates(m)) == []
    code = {".py", ".pyc", ".nbi", ".nbc"}
    opened = {
        Path(name).relative_to(ROOT)
        for kind, name in lines
        if kind == "open" and ".venv" not in name and Path(name).is_file()
    }
    layers = ("infra", "spark_jobs")
    read = {p.as_posix() for p in opened if p.suffix not in code and p.parts[0] in layers}
    assert "spark_jobs/levels/data/l4_bias.npz" in read
    # Templates are the data of infra.html, which draws pages.
    assert {r for r in read if not r.startswith("infra/templates/")} <= set(found.data)
