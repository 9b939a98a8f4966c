import json
from pathlib import Path

import pytest
import torch

from headrace.infra.errors import InputError
from headrace.training.moe import export
from headrace.training.moe.config import MoEConfig
from headrace.training.moe.model import MoEForCausalLM


def model(tie: bool = True) -> MoEForCausalLM:
    """Weights, norms and selection biases all far from their first values."""
    torch.manual_seed(0)
    config = MoEConfig(vocab_size=320, initializer_range=0.1, tie_word_embeddings=tie)
    made = MoEForCausalLM(config).eval()
    for p in made.parameters():
        if p.ndim == 1:
            torch.nn.init.normal_(p, 1.0, 0.1)
    for router in made.routers():
        router.e_score_correction_bias.normal_(0, 0.1)
    return made


@pytest.mark.parametrize("tie", [True, False])
def test_transformers_gives_the_same_logits(tmp_path: Path, shards_folder: Path, tie: bool) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ours = model(tie)
    card = export.Card(stage="pretrain", lineage={"release_id": "r1"}, metrics={"loss": 1.5})
    folder = export.save(ours, tmp_path / "export", shards_folder / "tokenizer", card)
    theirs = AutoModelForCausalLM.from_pretrained(folder)
    assert type(theirs).__name__ == "Glm4MoeForCausalLM"
    text = AutoTokenizer.from_pretrained(folder)("The river needs 市场.")["input_ids"]
    assert text[0] == 0  # <|endoftext|> in front
    ids = torch.cat([torch.tensor([text]), torch.randint(0, 320, (1, 200))], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-5, rtol=1e-5)
        assert torch.equal(ours(ids), export.load(folder)(ids))
    assert json.loads((folder / "lineage.json").read_text()) == {"release_id": "r1"}
    assert "release_id: r1" in (folder / "README.md").read_text()
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == 0


def test_an_export_can_be_trained_on_and_replaced(tmp_path: Path, shards_folder: Path) -> None:
    card = export.Card(stage="sft")
    folder = export.save(model(), tmp_path / "e", shards_folder / "tokenizer", card)
    again = export.load(folder).train()
    again(torch.randint(0, 320, (2, 9))).sum().backward()
    assert again.balance(0.1).sum() == 3 * 4 * 18
    export.save(again, folder, shards_folder / "tokenizer", card)
    assert export.load(folder).routers()[0].e_score_correction_bias.abs().sum() > 0
    assert [p.name for p in tmp_path.iterdir()] == ["e"]


@pytest.mark.parametrize("fault", ["nothing", "cut", "other", "shape"])
def test_a_broken_export_is_an_input_error(tmp_path: Path, shards_folder: Path, fault: str) -> None:
    folder = tmp_path / "e"
    if fault != "nothing":
        export.save(model(), folder, shards_folder / "tokenizer", export.Card(stage="x"))
    weights, config = folder / export.WEIGHTS, folder / "config.json"
    if fault == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    if fault == "other":
        config.write_text('{"model_type": "gpt2"}')
    if fault == "shape":
        config.write_text(config.read_text().replace('"vocab_size": 320', '"vocab_size": 321'))
    with pytest.raises(InputError):
        export.load(folder)


def test_no_tokenizer_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tokenizer"):
        export.load_tokenizer(tmp_path)


def test_weights_that_are_no_numbers_are_found_by_name(tmp_path: Path, shards_folder: Path) -> None:
    export.save(model(), tmp_path / "e", shards_folder / "tokenizer", export.Card(stage="test"))
    assert export.broken_weights(tmp_path / "e") == []
    tensors = export.read_tensors(tmp_path / "e" / export.WEIGHTS)
    (first, second), value = sorted(tensors)[:2], float("inf")
    for name in (second, first):
        tensors[name].view(-1)[-1] = value
        value = float("nan")
    export.save_tensors(tensors, tmp_path / "e" / export.WEIGHTS)
    assert export.broken_weights(tmp_path / "e") == [first, second]
