"""The Mixture-of-Experts decoder: config, router, experts, attention, model, presets, export."""
