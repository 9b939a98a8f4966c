"""The five levels, in order, one file each."""

from headrace.spark_jobs.levels.l1_format import FORMAT
from headrace.spark_jobs.levels.l2_semantics import SEMANTICS
from headrace.spark_jobs.levels.l3_facts import FACTS
from headrace.spark_jobs.levels.l4_bias import BIAS
from headrace.spark_jobs.levels.l5_domain import DOMAIN

LEVELS = (FORMAT, SEMANTICS, FACTS, BIAS, DOMAIN)
"""In the order of decision: the first that fails has the say."""
