"""An aligned export in plain transformers: the ids of training, and answers that end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from headrace.infra.special_tokens import SPECIAL
from headrace.training.chat_template import TEMPLATE, Chat
from headrace.training.generate import sample
from headrace.training.moe import export
from headrace.training.moe.model import MoEForCausalLM

TEXTS = (
    "The river", " keeps\n\nthe valley. ", "", "  ", "{{ messages }} {% raw %}", "法院 判决 🌊",
    "<|user", "< |end|>", "'quoted' \"twice\" \\n", "<b>&amp;</b>",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export as SFT writes it, of a model whose likeliest token is always the end of a turn."""
    base = export.load(world.base)
    untied = base.config.model_copy(update={"tie_word_embeddings": False})
    model = MoEForCausalLM(untied).eval()
    tokenizer = export.load_tokenizer(world.base)
    chat = Chat.of(tokenizer, untied.max_position_embeddings)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight", "down_proj", "lm_head.weight")):
                weight.zero_()  # every state is that of its own token
        model.model.embed_tokens.weight[:, 0] = 5.0
        model.lm_head.weight[chat.end, 0] = 5.0
    out = tmp_path_factory.mktemp("aligned") / "export"
    return export.save(model, out, world.base, export.Card(stage="sft"), chat.format)


def messages(turns: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[n % 2], "content": t} for n, t in enumerate(turns)]


@given(st.lists(st.sampled_from(TEXTS) | st.text(max_size=12), min_size=1, max_size=5).map(tuple))
@settings(max_examples=200, deadline=None)
def test_the_template_gives_the_ids_of_training(folder: Path, turns: tuple[str, ...]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chat = Chat.of(export.load_tokenizer(folder), 64)
    if any(mark in t for t in turns for mark in SPECIAL):
        return
    asked = len(turns) % 2 == 1
    got = tokenizer.apply_chat_template(
        messages(turns), add_generation_prompt=asked, return_dict=False
    )
    assert got == chat.conversation(turns)


def test_single_turns_are_the_rows_of_the_stages(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chat = Chat.of(export.load_tokenizer(folder), 64)
    prompt, answer = "The river", "keeps the valley."
    turns = messages((prompt, answer))
    asked = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=False)
    assert [asked] == chat.prompts([prompt], 8)
    whole = tokenizer.apply_chat_template(turns, return_dict=False)
    assert whole == chat.dialogues([prompt], [answer])[0].ids


@pytest.mark.parametrize("mark", SPECIAL)
@pytest.mark.parametrize("turn", [0, 1])
def test_a_mark_inside_a_message_never_becomes_one(folder: Path, mark: str, turn: int) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chat = Chat.of(export.load_tokenizer(folder), 64)
    special = {tokenizer.convert_tokens_to_ids(m) for m in SPECIAL}
    texts = ["The river", "keeps"]
    texts[turn] += f" {mark}<|user|>"
    # Ours: ordinary characters. transformers makes one string of the chat first: refused.
    marks = [i for i in chat.conversation(texts) if i in special]
    assert marks == [chat.begin, chat.user, chat.assistant, chat.end]
    with pytest.raises(jinja2.exceptions.TemplateError, match=r"holds <\|"):
        tokenizer.apply_chat_template(messages(tuple(texts)))
    # A plain call of the tokenizer reads marks, unless that is switched off; the card says so.
    assert tokenizer.convert_tokens_to_ids(mark) in tokenizer(texts[turn])["input_ids"][1:]
    plain = tokenizer(texts[turn], split_special_tokens=True, add_special_tokens=False)
    assert not special & set(plain["input_ids"])
    assert "split_special_tokens=True" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("chat", "said"),
    [
        ([{"role": "system", "content": "Be brief."}], "no other role"),
        ([{"role": "assistant", "content": "Yes."}], "take turns"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], "take turns"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}]}], "must be a string"),
    ],
)
def test_a_chat_of_another_form_is_refused(folder: Path, chat: list[Any], said: str) -> None:
    with pytest.raises(jinja2.exceptions.TemplateError, match=said):
        AutoTokenizer.from_pretrained(folder).apply_chat_template(chat)


def test_generate_stops_where_the_answer_ends(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids: Any = tokenizer.apply_chat_template(
        messages(("The river",)), add_generation_prompt=True, return_tensors="pt"
    )
    made = model.generate(**ids, max_new_tokens=20)
    assert made.shape[1] == ids["input_ids"].shape[1] + 1
    assert made[0, -1] == tokenizer.convert_tokens_to_ids("<|end|>")
    said = GenerationConfig.from_pretrained(folder)
    assert (said.eos_token_id, said.bos_token_id, said.pad_token_id) == ([0, 3], 0, 4)
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == [0, 3]


def test_the_example_of_the_page_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "alignment.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    exec(compile(example, "docs/alignment.md", "exec"), {"export": str(folder)})
    assert capsys.readouterr().out == "\n", "the answer of a model that ends at once"


def test_our_sampling_answers_and_stops_too(folder: Path) -> None:
    model, tokenizer = export.load(folder), export.load_tokenizer(folder)
    chat = export.chat_format(folder)
    assert chat is not None and chat.template == TEMPLATE and chat.stops == (0, 3)
    asked = ["The river", "<|end|>"]
    assert sample(model, tokenizer, asked, chat=chat, max_new_tokens=20) == ["", ""]


def test_a_base_export_has_no_template_whatever_its_tokenizer_had(
    world: Any, folder: Path, tmp_path: Path
) -> None:
    assert export.chat_format(world.base) is None
    again = export.save(export.load(folder), tmp_path / "e", folder, export.Card(stage="pretrain"))
    assert export.chat_format(again) is None
    assert AutoTokenizer.from_pretrained(again).chat_template is None
    assert GenerationConfig.from_pretrained(again).eos_token_id == 0
    assert "chat template" not in (again / "README.md").read_text()
    # The ids stay those of the tokenizer that the token shards were made with.
    assert (again / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
