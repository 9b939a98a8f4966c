"""Alignment: supervised fine-tuning, reward model, PPO."""
