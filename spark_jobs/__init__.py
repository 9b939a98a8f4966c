"""HOW TEXT IS CLEANED: PySpark jobs and their kernels; no Prefect, no torch."""
