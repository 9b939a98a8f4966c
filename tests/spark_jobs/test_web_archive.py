"""The visible text of HTML pages."""

import pytest

from headrace.spark_jobs.web_archive import visible_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one <b>bold</b>\n word</p><p>two</p>", "one bold word\ntwo"),
        ("<style>p{}</style><script>if(a<b)x()</script>seen", "seen"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("&lt;tag&gt; &#20013;&nbsp;x", "<tag> 中 x"),
        ("<p>open <script>never closed", "open"),
        ("</script>after", "after"),
        ("", ""),
    ],
)
def test_visible_text(html: str, text: str) -> None:
    assert visible_text(html) == text
