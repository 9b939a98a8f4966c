"""The decoder with a mixture of experts: shape, layers, presets and export."""
