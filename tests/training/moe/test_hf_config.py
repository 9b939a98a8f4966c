"""Every field of transformers' Glm4Moe configuration: honored to 1e-5 in the logits, or refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Glm4MoeConfig, Glm4MoeForCausalLM

from headrace.infra.errors import InputError
from headrace.training.moe import export
from headrace.training.moe.config import MoEConfig

BASE: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "moe_intermediate_size": 16,
    "num_experts_per_tok": 2,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "max_position_embeddings": 96,
    "use_qk_norm": True,
    "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0},
}


def theirs(changed: dict[str, Any]) -> Any:
    """A model of transformers with weights that make every part count."""
    torch.manual_seed(0)
    made = Glm4MoeForCausalLM(Glm4MoeConfig(**(BASE | changed))).float().eval()
    with torch.no_grad():
        for name, tensor in [*made.named_parameters(), *made.named_buffers()]:
            if name.endswith("norm.weight"):
                tensor.normal_(1.0, 0.1)
            elif "inv_freq" not in name:
                tensor.normal_(0.0, 0.25)
    return made


def difference(folder: Path, model: Any) -> float:
    """Largest difference of the logits of ours, loaded from a folder, and theirs."""
    ids = torch.randint(0, 64, (2, 80), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, want = export.load(folder)(ids), model(ids).logits
    assert 0.3 < want.std() < 30
    return float((ours - want).abs().max() / want.std())


@dataclass(frozen=True)
class Change:
    """A field's other value, and whether a model with it is to load."""

    value: Any
    loads: bool = True


def rope(**changed: Any) -> dict[str, Any]:
    return {"rope_parameters": BASE["rope_parameters"] | changed}


ROPE = {
    "base": Change(rope(rope_theta=1e6)),
    "half": Change(rope(partial_rotary_factor=0.5)),
    "odd share": Change(rope(partial_rotary_factor=0.4)),
    "linear": Change(rope(rope_type="linear", factor=2.0), False),
    "yarn": Change(rope(rope_type="yarn", factor=2.0), False),
    "dynamic": Change(rope(rope_type="dynamic", factor=2.0), False),
    "llama3": Change(
        rope(rope_type="llama3", factor=2.0, low_freq_factor=1.0, high_freq_factor=4.0,
             original_max_position_embeddings=48),
        False,
    ),
}  # fmt: skip

FIELDS: dict[str, tuple[Change, ...]] = {
    "vocab_size": (Change(72),),
    "hidden_size": (Change(40), Change(36, False)),
    "intermediate_size": (Change(40), Change(20)),
    "num_hidden_layers": (Change(1), Change(4)),
    "num_attention_heads": (Change(2), Change(8), Change(6)),
    "num_key_value_heads": (Change(1), Change(4)),
    "hidden_act": (Change("swish"), Change("gelu", False), Change("relu", False)),
    "max_position_embeddings": (Change(512),),
    "initializer_range": (Change(0.5),),
    "rms_norm_eps": (Change(1e-2), Change(1e-6)),
    "use_cache": (Change(False),),
    "tie_word_embeddings": (Change(True),),
    "rope_parameters": tuple(ROPE.values()),
    "attention_bias": (Change(True),),
    "attention_dropout": (Change(0.5),),
    "moe_intermediate_size": (Change(24), Change(20, False)),
    "num_experts_per_tok": (Change(1), Change(8)),
    "output_router_logits": (Change(True),),
    "n_shared_experts": (Change(2), Change(3)),
    "n_routed_experts": (Change(16), Change(5)),
    "routed_scaling_factor": (Change(2.5), Change(0.5)),
    "n_group": (Change(2, False),),
    "topk_group": (Change(2, False),),
    "first_k_dense_replace": (Change(0), Change(2), Change(3)),
    "norm_topk_prob": (Change(False),),
    "use_qk_norm": (Change(False),),
    "bos_token_id": (Change(3),),
    "eos_token_id": (Change([3, 4]),),
    "pad_token_id": (Change(5),),
    "num_mtp_layers": (Change(0), Change(2)),
    "transformers_version": (Change("4.54.0"),),
    "architectures": (Change(["Glm4MoeForTokenClassification"], False), Change(None)),
    "output_hidden_states": (Change(True),),
    "return_dict": (Change(False),),
    "dtype": (Change("bfloat16"),),
    "chunk_size_feed_forward": (Change(8),),
    "is_encoder_decoder": (Change(True, False),),
    "id2label": (Change({"0": "no", "1": "yes"}),),
    "label2id": (Change({"no": 0, "yes": 1}),),
    "problem_type": (Change("regression"),),
}
"""All fields of the class."""

OTHERS: dict[str, tuple[Change, ...]] = {
    "head_dim": (Change(16),),
    "rope_theta": (Change(1e6),),
    "rope_scaling": (Change(None), Change({"type": "linear", "factor": 2.0}, False),
                     Change({"rope_type": "yarn", "factor": 4.0}, False)),
    "partial_rotary_factor": (Change(0.5), Change(0.25)),
    "num_local_experts": (Change(8),),
    "torch_dtype": (Change("float32"),),
    "quantization_config": (Change(None), Change({"quant_method": "fp8"}, False)),
    "sliding_window": (Change(None), Change(16, False)),
    "layer_types": (Change(["full_attention"] * 3, False),),
    "per_layer_config": (Change({"1": {"hidden_act": "relu"}}, False),),
    "is_causal": (Change(True), Change(False, False)),
    "scoring_func": (Change("sigmoid"), Change("softmax", False)),
    "attn_logit_softcapping": (Change(30.0, False),),
    "auto_map": (Change({"AutoConfig": "remote.Config"}, False),),
    "a_field_of_next_year": (Change(1, False),),
}  # fmt: skip
"""Fields that checkpoints have beside those: older spellings, and what other classes read."""


def test_the_table_has_every_field_of_the_class() -> None:
    bare = {f.name for f in fields(Glm4MoeConfig)}
    assert bare == set(FIELDS), "a field without a case: is it honored, without effect or refused?"


CASES = [
    pytest.param(name, change, id=f"{name}-{n}")
    for name, changes in (FIELDS | OTHERS).items()
    for n, change in enumerate(changes)
]


@pytest.mark.parametrize(("name", "change"), CASES)
def test_a_field_is_honored_to_the_logits_or_refused_by_name(
    tmp_path: Path, name: str, change: Change
) -> None:
    changed = change.value if name == "rope_parameters" else {name: change.value}
    built = {k: v for k, v in changed.items() if k in {f.name for f in fields(Glm4MoeConfig)}}
    if name == "head_dim":
        built = changed
    # What decides shapes or the forward pass has to be in the model, the rest in the file alone.
    if name in ("architectures", "dtype", "return_dict", "is_encoder_decoder", "per_layer_config"):
        built = {}
    theirs(built).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    stored = json.loads(file.read_text()) | changed
    if name in ("rope_theta", "partial_rotary_factor", "rope_scaling"):
        del stored["rope_parameters"]  # the spelling of before transformers 5
        stored.setdefault("partial_rotary_factor", 1.0)
    if name == "num_local_experts":
        del stored["n_routed_experts"]
    file.write_text(json.dumps(stored))
    if not change.loads:
        with pytest.raises(InputError) as refusal:
            export.load(tmp_path)
        assert name.removesuffix("_parameters") in refusal.value.message
        return
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    model.config.return_dict = True
    assert difference(tmp_path, model) < 1e-5


def test_what_the_file_leaves_out_has_the_default_of_transformers(tmp_path: Path) -> None:
    """Ours differ: QK-norm, tied embeddings, full rotation, head width."""
    small = {k: v for k, v in BASE.items() if k not in
             ("use_qk_norm", "tie_word_embeddings", "rope_parameters", "head_dim")}  # fmt: skip
    torch.manual_seed(0)
    model = Glm4MoeForCausalLM(Glm4MoeConfig(**small)).eval()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.normal_(0.0, 0.3)
    model.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    stored = json.loads(file.read_text())
    stored = {k: v for k, v in stored.items() if k in (*small, "architectures", "model_type")}
    file.write_text(json.dumps(stored))
    assert difference(tmp_path, AutoModelForCausalLM.from_pretrained(tmp_path).eval()) < 1e-5
    config = export.load_config(tmp_path)
    assert (config.partial_rotary_factor, config.head_dim, config.use_qk_norm) == (0.5, 8, False)


SHAPES: dict[str, dict[str, Any]] = {
    "as exported": {},
    "base of a million, half rotated": rope(rope_theta=1e6, partial_rotary_factor=0.5),
    "untied, two shared experts": {"tie_word_embeddings": False, "n_shared_experts": 2},
    "tied": {"tie_word_embeddings": True},
    "scaled routing, weights as they are": {"routed_scaling_factor": 2.5, "norm_topk_prob": False},
    "one key head": {"num_key_value_heads": 1, "use_qk_norm": False},
    "a key head each": {"num_key_value_heads": 4, "head_dim": 16},
    "first two dense": {"first_k_dense_replace": 2, "num_experts_per_tok": 3},
    "no dense layer": {"first_k_dense_replace": 0},
    "GLM-4.5": {
        "attention_bias": True,
        "num_key_value_heads": 1,
        "routed_scaling_factor": 2.5,
        "first_k_dense_replace": 2,
        **rope(rope_theta=1e6, partial_rotary_factor=0.5),
    },
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_logits_agree_in_both_directions(
    tmp_path: Path, shards_folder: Path, shape: dict[str, Any]
) -> None:
    made = theirs(shape)
    made.save_pretrained(tmp_path / "theirs")
    assert difference(tmp_path / "theirs", made) < 1e-5
    ours = export.load(tmp_path / "theirs")
    card = export.Card(stage="pretrain")
    back = export.save(ours, tmp_path / "ours", shards_folder / "tokenizer", card)
    assert difference(back, AutoModelForCausalLM.from_pretrained(back).eval()) < 1e-5
    again, first = export.load(back).state_dict(), ours.state_dict()
    assert all(torch.equal(again[n], t) for n, t in first.items())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"model_type": "mixtral"}, "mixtral"),
    ],
)
def test_a_field_that_makes_no_sense_is_an_input_error(
    tmp_path: Path, wrong: dict[str, Any], said: str
) -> None:
    theirs({}).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | wrong))
    with pytest.raises(InputError, match=said):
        export.load(tmp_path)


def test_a_head_of_its_own_in_a_tied_model_is_refused(tmp_path: Path) -> None:
    """transformers unties it with a warning; we would have read the embedding instead."""
    made = theirs({"tie_word_embeddings": True})
    made.save_pretrained(tmp_path)
    tensors = export.read_tensors(tmp_path / export.WEIGHTS)
    embedding = tensors["model.embed_tokens.weight"]
    export.save_tensors(tensors | {"lm_head.weight": embedding.clone()}, tmp_path / export.WEIGHTS)
    assert difference(tmp_path, made) < 1e-5
    export.save_tensors(tensors | {"lm_head.weight": -embedding}, tmp_path / export.WEIGHTS)
    with pytest.raises(InputError, match="tie_word_embeddings"):
        export.load(tmp_path)


def test_our_own_config_comes_back_as_it_was(tmp_path: Path, shards_folder: Path) -> None:
    from headrace.training.moe import hf_config

    config = MoEConfig(
        rope_theta=5e5, n_shared_experts=2, tie_word_embeddings=False, attention_bias=True,
        partial_rotary_factor=0.5, embedding_range=0.1, initializer_range=0.01,
    )  # fmt: skip
    assert hf_config.read(config.to_hf(), "config.json") == config
