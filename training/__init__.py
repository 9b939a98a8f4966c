"""HOW MODELS LEARN: torch and DeepSpeed; no Prefect, no Spark."""

import os

# Read when torch loads OpenMP, hence here. Threads that spin while they wait for each other made
# training 13 times slower on two busy cores (293 against 3,955 tokens a second).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
