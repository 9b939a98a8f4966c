"""MLflow: runs, live metrics, artifacts and models."""
