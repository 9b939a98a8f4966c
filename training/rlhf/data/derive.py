"""Alignment data from a release: continue a text of a named kind, and tell good answers from bad.

A prompt names the kind of text and quotes a sentence; the response is the sentence that follows in
the document. A preference sets it against a spoilt one (negatives.py). Records that are not held
out give training data, each record to one stage only, so that the reward model and PPO see prompts
that no stage before them was fitted on; held-out records (infra.lineage) give the evaluation of
all stages. The result depends on the release, the settings and the seed alone.

Files: sft/, reward/ and ppo/ with train.jsonl and heldout.jsonl each, and manifest.json, last.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from random import Random
from typing import TypedDict

from headrace.infra import console, lineage, storage
from headrace.infra.errors import ValidationError
from headrace.infra.releases import manifest, read_documents
from headrace.training.rlhf.data.negatives import corrupt
from headrace.training.rlhf.data.sentence_spans import places
from headrace.training.rlhf.data.settings import DeriveSettings

STAGES = ("sft", "reward", "ppo")
SHARES = {"sft": 5, "reward": 3, "ppo": 2}
"""Of ten records that aren't held out, how many go to each stage."""

_NAMES = {
    "general": ("general", "\u7efc\u5408"),
    "legal": ("legal", "\u6cd5\u5f8b"),
    "medical": ("medical", "\u533b\u5b66"),
    "financial": ("financial", "\u8d22\u7ecf"),
}
Item = dict[str, str]


def instruction(lang: str, domain: str, beginning: str) -> str:
    """Return the prompt that asks for the continuation of `beginning`, in its language."""
    english, chinese = _NAMES.get(domain, (domain, domain))
    if lang == "zh":
        return f"\u7eed\u5199\u8fd9\u6bb5{chinese}\u6587\u672c\uff1a{beginning}"
    return f"Continue this {english} text: {beginning}"


def _number(*parts: object) -> int:
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _stage(content_hash: str) -> str:
    at = _number("stage", content_hash) % sum(SHARES.values())
    for stage in STAGES:
        at -= SHARES[stage]
        if at < 0:
            return stage
    raise AssertionError("shares cover all")


def _spread(groups: dict[tuple[str, str], list[Item]], most: int) -> list[Item]:
    """Up to `most` items, taken from the groups in turn, so that no language or domain is lost."""
    queues = [iter(groups[key]) for key in sorted(groups)]
    out: list[Item] = []
    while queues and len(out) < most:
        left = []
        for queue in queues:
            item = next(queue, None)
            if item is not None:
                out.append(item)
                left.append(queue)
        queues = left
    return out[:most]


def _collect(
    release: str, heldout: bool, settings: DeriveSettings, seed: int
) -> dict[str, dict[tuple[str, str], list[Item]]]:
    """Stage to (lang, domain) to items, each in an order that only hashes decide."""
    found: dict[str, dict[tuple[str, str], list[Item]]] = {s: {} for s in STAGES}
    table = read_documents(release, ("text", "content_hash"), heldout)
    rows = zip(
        *(table[c].to_pylist() for c in ("content_hash", "text", "lang", "domain")), strict=True
    )
    # Languages that no prompt is worded in are left out.
    order = sorted(
        (r for r in rows if r[2] in ("zh", "en")), key=lambda r: (_number(seed, r[0]), r[0])
    )
    ranked: dict[tuple[str, str, str], list[tuple[int, int, Item]]] = defaultdict(list)
    with console.Progress("alignment data", len(order), "documents") as progress:
        for number, (content_hash, text, lang, domain) in enumerate(order):
            progress.advance()
            here = places(text, lang, settings.max_beginning_bytes, settings.max_response_bytes)
            Random(_number(seed, "place", content_hash)).shuffle(here)
            for rank, (beginning, response) in enumerate(here[: settings.per_document]):
                item = {
                    "prompt": instruction(lang, domain, beginning),
                    "response": response,
                    "lang": lang,
                    "domain": domain,
                }
                for stage in STAGES if heldout else (_stage(content_hash),):
                    ranked[stage, lang, domain].append((rank, number, item))
    # One item of every document before the second of any.
    for (stage, lang, domain), items in ranked.items():
        items.sort(key=lambda x: x[:2])
        found[stage][lang, domain] = [item for _, _, item in items]
    return found


def _preferences(items: list[Item], seed: int) -> list[Item]:
    """Each item's response as chosen against a spoilt one; spoilt with the help of another item."""
    out = []
    same = {lang: [i for i in items if i["lang"] == lang] for lang in {i["lang"] for i in items}}
    for n, item in enumerate(items):
        rng = Random(_number(seed, "pair", n, item["prompt"]))
        # Mostly the same language: a mix of scripts is too easily recognized.
        other = rng.choice(items if rng.random() < 0.25 else same[item["lang"]])["response"]
        kind, worse = corrupt(item["response"], other, rng)
        rest = {k: item[k] for k in ("lang", "domain")}
        out.append(
            {"prompt": item["prompt"], "chosen": item["response"], "rejected": worse, "kind": kind}
            | rest
        )
    return out


def _lines(items: Iterable[Item]) -> bytes:
    return "".join(json.dumps(i, ensure_ascii=False) + "\n" for i in items).encode()


class StageData(TypedDict):
    """The data of a stage."""

    data: str
    """Its folder."""
    train: int
    """Rows."""
    heldout: int
    """Rows."""


class Derived(TypedDict):
    """The data of all stages."""

    sft: StageData
    reward: StageData
    ppo: StageData
    release_id: str


class Written(TypedDict):
    """manifest.json of the output."""

    identity: str
    release_id: str
    counts: dict[str, dict[str, int]]
    """Stage to rows of `train` and `heldout`."""
    seed: int


def derive(
    release: str, output: str, settings: DeriveSettings | None = None, seed: int = 0
) -> Derived:
    """Derive the data folders of the stages; a finished output is returned as it is.

    Raises:
        InputError: the release can't be read.
        ValidationError: it holds too few places to take examples from.
    """
    settings = settings or DeriveSettings()
    release_id = manifest(release)["release_id"]
    identity = lineage.digest(
        [release_id, settings.model_dump(), seed, lineage.code_version("training")]
    )
    done = storage.join(output, "manifest.json")
    if storage.exists(done):
        known: Written = storage.read_json(done)
        if known.get("identity") == identity:
            return _derived(output, known)
    parts = {
        "train": _collect(release, False, settings, seed),
        "heldout": _collect(release, True, settings, seed),
    }
    counts: dict[str, dict[str, int]] = {s: {} for s in STAGES}
    for part, found in parts.items():
        for stage in STAGES:
            most = settings.heldout if part == "heldout" else getattr(settings, stage)
            items = _spread(found[stage], most)
            if len(items) < settings.min_items:
                raise ValidationError(
                    f"{storage.display(release)}: {len(items)} places for {stage} examples in its "
                    f"{'held-out' if part == 'heldout' else 'training'} records, "
                    f"{settings.min_items} are needed",
                    "curate more text of whole sentences",
                )
            if stage == "reward":
                items = _preferences(items, seed)
            elif stage == "ppo":
                items = [{k: v for k, v in i.items() if k != "response"} for i in items]
            storage.write_bytes(storage.join(output, stage, f"{part}.jsonl"), _lines(items))
            counts[stage][part] = len(items)
    written = Written(identity=identity, release_id=release_id, counts=counts, seed=seed)
    storage.write_json(done, written)
    return _derived(output, written)


def _derived(output: str, written: Written) -> Derived:
    def of(stage: str) -> StageData:
        rows = written["counts"][stage]
        folder = storage.join(output, stage)
        return StageData(data=folder, train=rows["train"], heldout=rows["heldout"])

    return Derived(
        sft=of("sft"), reward=of("reward"), ppo=of("ppo"), release_id=written["release_id"]
    )
