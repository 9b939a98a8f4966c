"""WHEN: Prefect flows; each body reads like the diagram."""
