"""Hugging Face's config.json of a Glm4Moe model, read so that no field is passed over in silence.

A field is honored (it is one of MoEConfig's), or has no effect on the logits (`WITHOUT_EFFECT`), or
must have the only value that is implemented (`ONLY`). Anything else ends loading with the field's
name: a model that loads gives the logits that transformers gives. Defaults and older spellings
(`rope_theta`, `rope_scaling`, `num_local_experts`) are resolved by transformers' own class, since a
field that the file leaves out has the default of that class and not ours.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue, ValidationError

from headrace.infra.errors import InputError
from headrace.training.moe.config import MoEConfig

if TYPE_CHECKING:
    from transformers import Glm4MoeConfig

ARCHITECTURE = "Glm4MoeForCausalLM"
MODEL_TYPE = "glm4_moe"

ONLY: dict[str, tuple[Any, ...]] = {
    "architectures": (None, [ARCHITECTURE]),
    "hidden_act": ("silu", "swish"),
    "n_group": (1,),
    "topk_group": (1,),
    "scoring_func": ("sigmoid",),
    "topk_method": ("noaux_tc",),
    "is_causal": (True,),
    "is_encoder_decoder": (False,),
}
"""Fields of which only these values are implemented."""

_REASONS: dict[str, tuple[str, ...]] = {
    "how a call returns its answer, and what else with it": (
        "output_hidden_states", "output_attentions", "output_router_logits", "return_dict",
        "use_cache",
    ),
    "training, or the first weights, alone": ("attention_dropout", "initializer_range"),
    "storage: whatever the file has, we compute in float32": (
        "dtype", "torch_dtype", "transformers_version", "_name_or_path", "_commit_hash",
    ),
    "which kernels transformers computes with": (
        "attn_implementation", "experts_implementation", "_attn_implementation_autoset",
    ),
    "sampling": ("bos_token_id", "eos_token_id", "pad_token_id"),
    "classification, which a causal model has no head for": (
        "id2label", "label2id", "num_labels", "problem_type",
    ),
    "not read by this architecture": ("chunk_size_feed_forward",),
    "layers behind the last one, for tokens further ahead: not loaded": (
        "num_nextn_predict_layers", "num_mtp_layers",
    ),
}  # fmt: skip
WITHOUT_EFFECT = frozenset(name for names in _REASONS.values() for name in names)
"""Fields that transformers writes and that don't change the logits of a forward pass."""

_ROTARY = {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
_RESOLVED = {"rope_parameters", "rope_theta", "rope_scaling", "partial_rotary_factor"}
_ALIASES = {"num_local_experts"}


def read(config: Mapping[str, JsonValue], where: str) -> MoEConfig:
    """Read the shape that a config.json describes.

    Args:
        config: its content.
        where: its path, for messages.

    Raises:
        InputError: another architecture, or a field that is not implemented; the message names it.
    """
    if config.get("model_type") != MODEL_TYPE:
        raise InputError(
            f"{where}: model_type is {config.get('model_type')!r}, and only {MODEL_TYPE!r} is "
            "implemented",
            f"give an export of headrace, or a checkpoint of {ARCHITECTURE}",
        )
    honored = set(MoEConfig.model_fields) | _RESOLVED | _ALIASES
    for name, value in config.items():
        if name in ONLY and value not in ONLY[name]:
            _refuse(where, name, value, " or ".join(repr(v) for v in ONLY[name] if v is not None))
        known = name in honored or name in ONLY or name in WITHOUT_EFFECT or name == "model_type"
        if not known and value is not None:
            _refuse(where, name, value)
    full = _resolve(config, where)
    rotary = dict(full.rope_parameters or {})
    field = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    if rotary["rope_type"] != "default":
        _refuse(where, f"{field}.rope_type", rotary["rope_type"], "'default'")
    for name in set(rotary) - _ROTARY:
        _refuse(where, f"{field}.{name}", rotary[name])
    shape = {n: getattr(full, n) for n in MoEConfig.model_fields if hasattr(full, n)}
    shape |= {
        "head_dim": config.get("head_dim") or full.hidden_size // full.num_attention_heads,
        "rope_theta": rotary["rope_theta"],
        "partial_rotary_factor": rotary.get("partial_rotary_factor", 1.0),
    }
    try:
        return MoEConfig.model_validate(shape)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "the shape"
        raise InputError(
            f"{where}: {name} is not supported: {first['msg'].removeprefix('Value error, ')}",
            "give a model of another shape",
        ) from None


def _resolve(config: Mapping[str, JsonValue], where: str) -> Glm4MoeConfig:
    """Return the config object that transformers makes of the file's content.

    Raises:
        InputError: a field has a value that transformers refuses.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import Glm4MoeConfig

    try:
        return Glm4MoeConfig.from_dict(copy.deepcopy(dict(config)))
    except (StrictDataclassError, ValueError, TypeError, KeyError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{where}: {said}", "correct that field") from None


def _refuse(where: str, name: str, value: object, instead: str = "") -> None:
    """Raise InputError: a field is not implemented, or not with this value."""
    only = f"; only {instead} is" if instead else ""
    raise InputError(
        f"{where}: {name} = {value!r} is not implemented{only}",
        "the logits would not be those of transformers, so the model isn't loaded",
    )
