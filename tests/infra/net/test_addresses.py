"""Addresses are shown without secrets, whatever is wrong with them."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.net.addresses import of_http, shown

SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=20)


@given(user=st.from_regex(r"[a-z]{0,8}", fullmatch=True), secret=SECRET)
@pytest.mark.parametrize("place", ["h:5000/api", "[::1", "h:port/x", "h"])
def test_no_password_is_shown(user: str, secret: str, place: str) -> None:
    for written in (secret, quote(secret, safe="")):
        text = f"MLflow at http://{user}:{written}@{place} does not answer"
        assert (
            shown(text)
            == f"MLflow at http://{user + ':' if user else ''}***@{place} does not answer"
        )


@given(user=SECRET, password=SECRET)
def test_a_login_is_taken_out_as_it_was_meant(user: str, password: str) -> None:
    user = user.replace(":", "")
    word = f"{quote(user, safe='')}:{quote(password, safe='')}"
    url, login = of_http("V", f"https://{word}@h:1/api/", "form")
    assert (url, login) == ("https://h:1/api", f"{user}:{password}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://h:5000/a@b", "http://h:***@b"),  # rather too much than a password with a slash
        ("https://token@h", "https://***@h"),
        ("http://h/?token=x&a=1", "http://h/?token=***&a=1"),
        ("postgresql://u:p@h/db?password=x", "postgresql://u:***@h/db?password=***"),
        ("sqlite:////s/mlflow.db", "sqlite:////s/mlflow.db"),
    ],
)
def test_what_is_shown_of_an_address(text: str, said: str) -> None:
    assert shown(text) == said
