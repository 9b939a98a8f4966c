"""What a preset takes on a cluster: bytes per device by cause.

Counted for bf16 weights and gradients, float32 master weights and optimizer state (Muon one
moment, AdamW two), experts spread over `expert_parallel` devices, all else replicated; ZeRO
(Rajbhandari et al. 2020, arXiv:1910.02054) divides optimizer state (stage 1) and gradients (2)
among the devices that hold the same parameters. Stage 3 is left out: DeepSpeed does not combine it
with expert parallelism. Activations: one sequence per device, each layer's input kept and the layer
computed again, an even load of the experts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from headrace.infra.errors import UsageError
from headrace.training.moe.config import MoEConfig
from headrace.training.moe.model import MoEForCausalLM, count_parameters
from headrace.training.moe.presets import preset
from headrace.training.optimizer import build_optimizer
from headrace.training.settings import OptimizerSettings, PretrainSettings

GPUS = {
    "a100-40": 40e9,
    "a100": 80e9,
    "h100": 80e9,
    "h200": 141e9,
    "b200": 180e9,
}
"""Memory of a device in bytes, by its maker's data sheet."""

RESERVE = 0.08
"""Share of a device's memory left to the runtime, communication buffers and fragmentation."""


@dataclass(frozen=True)
class _Sizes:
    """Parameters and bytes of optimizer state (with master weights), of experts and of the rest."""

    experts: int
    rest: int
    expert_state: int
    rest_state: int


def _sizes(config: MoEConfig, settings: OptimizerSettings) -> _Sizes:
    with torch.device("meta"):
        model = MoEForCausalLM(config)
    of_experts = {id(p) for n, p in model.named_parameters() if ".mlp.experts." in n}
    parameters, state = [0, 0], [0, 0]
    for group in build_optimizer(model, settings).param_groups:
        bytes_each = 4 + (4 if group["kind"] == "muon" else 8)
        for p in group["params"]:
            kind = int(id(p) not in of_experts)
            parameters[kind] += p.numel()
            state[kind] += bytes_each * p.numel()
    return _Sizes(parameters[0], parameters[1], state[0], state[1])


def activation_bytes(config: MoEConfig) -> int:
    """Bytes of activations of one sequence of full context, bf16, with recomputation by layer."""
    T, D, V = config.max_position_embeddings, config.hidden_size, config.vocab_size
    kept = config.num_hidden_layers * T * D * 2
    heads = (2 * config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim
    routed = config.num_experts_per_tok * (3 * config.moe_intermediate_size + 2 * D)
    shared = 3 * config.n_shared_experts * config.moe_intermediate_size
    feed_forward = max(routed + shared if config.moe_layers else 0, 3 * config.intermediate_size)
    # One layer at a time is computed again: its intermediates and their gradients.
    layer = 2 * T * (heads + feed_forward + 4 * D) * 2
    logits = T * V * (2 + 4 + 4)  # bf16, the float32 copy of the loss, and its gradient
    return kept + max(layer, logits)


@dataclass(frozen=True)
class DeviceBytes:
    """Bytes per device by cause."""

    parameters: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """Bytes per device."""
        return self.parameters + self.gradients + self.optimizer + self.activations


@dataclass(frozen=True)
class Plan:
    """The answer of `headrace plan`, and how its figures come about."""

    total_parameters: int
    active_parameters: int
    bytes_per_device: int
    tokens_per_second: float | None
    days: float | None
    cost: float | None
    bytes: DeviceBytes
    zero_stage: int
    expert_parallel: int
    device_bytes: int
    fits: bool


def plan(settings: PretrainSettings, gpus: int, gpu: str) -> Plan:
    """Parameters and bytes per device of `gpus` devices, at the lowest ZeRO stage that fits.

    Speed and cost are null as yet.

    Raises:
        UsageError: unknown preset or device, or no device.
    """
    if gpu.lower() not in GPUS:
        raise UsageError(f"--gpu {gpu}: not known", f"one of {', '.join(GPUS)}")
    if gpus < 1:
        raise UsageError(f"--gpus {gpus}: at least one device is needed", "for instance --gpus 8")
    chosen = preset(settings.preset)
    config = chosen.model
    rates = OptimizerSettings(
        muon_lr=chosen.recipe.muon_lr if settings.muon_lr is None else settings.muon_lr,
        adamw_lr=settings.adamw_lr or chosen.recipe.adamw_lr,
    )
    sizes = _sizes(config, rates)
    total, active = count_parameters(config)
    spread = math.gcd(config.n_routed_experts, gpus) if config.moe_layers else 1
    twins = gpus // spread  # devices that hold the same experts
    room = GPUS[gpu.lower()] * (1 - RESERVE)
    here = sizes.rest + sizes.experts // spread
    shared_out = sizes.rest / gpus + sizes.experts / spread / twins
    for stage in (0, 1, 2):
        state = sizes.rest_state + sizes.expert_state / spread
        if stage >= 1:
            state = sizes.rest_state / gpus + sizes.expert_state / spread / twins
        parts = DeviceBytes(
            parameters=2 * here,
            gradients=math.ceil(2 * (shared_out if stage >= 2 else here)),
            optimizer=math.ceil(state),
            activations=activation_bytes(config),
        )
        if parts.total <= room:
            break
    return Plan(
        total_parameters=total,
        active_parameters=active,
        bytes_per_device=parts.total,
        tokens_per_second=None,
        days=None,
        cost=None,
        bytes=parts,
        zero_stage=stage,
        expert_parallel=spread,
        device_bytes=int(GPUS[gpu.lower()]),
        fits=parts.total <= room,
    )
