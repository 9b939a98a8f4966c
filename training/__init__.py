"""HOW MODELS LEARN: torch and DeepSpeed; no Prefect, no Spark."""

import os

# Read when torch loads OpenMP, hence here. How long a thread spins for the others before it sleeps:
# GNU OpenMP's 300,000 turns halt training where the cores have other work, and without any every
# parallel loop pays for waking its threads (figures in docs/model.md).
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
