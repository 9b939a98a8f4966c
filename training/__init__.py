"""HOW MODELS LEARN: torch and DeepSpeed; no Prefect, no Spark."""
