"""The columns of a release, as `LEVELS` makes them."""

from headrace.infra import schemas
from headrace.spark_jobs.levels import LEVELS

SCORED = schemas.scored(LEVELS)
"""A record with all its scores; null where a score could not be had (no usable text)."""
DOCUMENTS_FILE = schemas.documents_file(LEVELS)
"""A file below documents/lang=…/domain=…/."""
REJECTED_FILE = schemas.rejected_file(LEVELS)
"""A file below rejected/level=…/."""
