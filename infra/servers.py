"""A server as its own clients reach it, and the servers of others that the environment names."""

from __future__ import annotations

import base64
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPResponse

from headrace.infra import proxies
from headrace.infra.credentials import USER
from headrace.infra.errors import UsageError

OWN = "HEADRACE_OWN_SERVERS"
"""Environment variable: JSON list of the addresses that headrace has put into this environment.
What else PREFECT_API_URL and MLFLOW_TRACKING_URI name is the user's."""
PREFECT, MLFLOW = "PREFECT_API_URL", "MLFLOW_TRACKING_URI"
_CREDENTIALS = {
    PREFECT: ("PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"),
    MLFLOW: (
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
    ),
}
"""Variables by which a client shows who it is, by that which names its server."""
_PREFECTS = ("PREFECT_API_", "PREFECT_CLIENT_", "PREFECT_UI_URL")
_MLFLOWS = ("MLFLOW_TRACKING_", "MLFLOW_HTTP_REQUEST_", "DATABRICKS_")
"""Beginnings of the variables that belong to a client's way to its server."""
EXPERIMENT = "headrace"
"""MLflow's experiment with all runs of headrace."""
_CLOUD = "https://api.prefect.cloud/api/"
_SECONDS = 10.0


@dataclass(frozen=True)
class Server:
    """A server of Prefect or MLflow."""

    url: str
    """Prefect's API, or MLflow's tracking URI."""
    page: str | None
    """What a browser opens; None for a database."""
    variables: Mapping[str, str] = field(repr=False)
    """What its own clients find in their environment, credentials included."""
    own: bool
    """Whether headrace has started it."""

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers by which it knows its client."""
        more: dict[str, str] = json.loads(
            self.variables.get("PREFECT_CLIENT_CUSTOM_HEADERS") or "{}"
        )
        return {**more, **_authorization(self.variables)}

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How its certificate is checked; None: by the authorities that the system trusts."""

        def is_set(name: str) -> bool:
            return (self.variables.get(name) or "").lower() in ("1", "true")

        if is_set("PREFECT_API_TLS_INSECURE_SKIP_VERIFY") or is_set("MLFLOW_TRACKING_INSECURE_TLS"):
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            return context
        file = self.variables.get("PREFECT_API_SSL_CERT_FILE") or self.variables.get(
            "MLFLOW_TRACKING_SERVER_CERT_PATH"
        )
        return ssl.create_default_context(cafile=file) if file else None

    def open(self, ask: urllib.request.Request, seconds: float) -> HTTPResponse:
        """What it answers; no proxy comes between headrace and a server of its own.

        Raises:
            HTTPError: it answers with a status of a failure.
            OSError: it doesn't answer.
        """
        if self.own:
            return proxies.open_directly(ask, seconds, self.tls)
        answer: HTTPResponse = urllib.request.urlopen(  # nosec B310 # their_prefect and
            ask,
            timeout=seconds,
            context=self.tls,  # check_mlflow take http(s) only
        )
        return answer


def encoded(word: str) -> str:
    """`user:password` as HTTP Basic sends it."""
    return base64.b64encode(word.encode()).decode()


def _authorization(variables: Mapping[str, str]) -> dict[str, str]:
    def given(name: str) -> str:
        return variables.get(name) or ""

    basic = given("PREFECT_API_AUTH_STRING")
    if given("MLFLOW_TRACKING_USERNAME") and given("MLFLOW_TRACKING_PASSWORD"):
        basic = f"{given('MLFLOW_TRACKING_USERNAME')}:{given('MLFLOW_TRACKING_PASSWORD')}"
    if basic:
        return {"Authorization": f"Basic {encoded(basic)}"}
    bearer = given("PREFECT_API_KEY") or given("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {bearer}"} if bearer else {}


def join(server: Server) -> None:
    """Make the server's clients in this process, and in its children, use it.

    Before Prefect is imported: it reads its settings once.
    """
    own = own_addresses(os.environ)
    if server.own:
        # What the user's environment has for another server is no business of this one.
        for name in _CREDENTIALS[PREFECT if PREFECT in server.variables else MLFLOW]:
            os.environ.pop(name, None)
        own.append(server.url)
    os.environ.update({**server.variables, **proxies.exceptions(os.environ)})
    os.environ[OWN] = json.dumps(list(dict.fromkeys(own)))


def own_prefect(api: str, word: str | None) -> Server:
    """Prefect's server of a stack.

    Args:
        api: its address, with /api.
        word: `user:password`; None: not known here.
    """
    page = api.removesuffix("/api")
    variables = {PREFECT: api, "PREFECT_UI_URL": page}
    if word is not None:
        variables["PREFECT_API_AUTH_STRING"] = word
    return Server(api, page, variables, own=True)


def own_mlflow(url: str, password: str | None) -> Server:
    """MLflow's server of a stack; `password`: None where it isn't known here."""
    variables = {MLFLOW: url}
    if password is not None:
        variables |= {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": password}
    return Server(url, url, variables, own=True)


def environment(found: Iterable[Server]) -> dict[str, str]:
    """The variables with which the clients of servers reach them; OWN names headrace's own."""
    out = proxies.exceptions(os.environ)
    own = []
    for server in found:
        out |= server.variables
        own += [server.url] if server.own else []
    return {**out, OWN: json.dumps(own)} if own else out


def joined_prefect(environ: Mapping[str, str], api: str) -> Server:
    """The Prefect server at `api`, with the credentials that an environment has for it.

    Those for another server are never sent.
    """
    named = environ.get(PREFECT) == api
    variables = _beginning(environ, _PREFECTS) if named else {}
    return Server(api, None, variables, own=api in own_addresses(environ))


def their_prefect(environ: Mapping[str, str]) -> Server | None:
    """The Prefect server that PREFECT_API_URL names, None where it names none but headrace's own.

    Raises:
        UsageError: it is no URL.
    """
    url = _theirs(environ, PREFECT)
    if url is None:
        return None
    if not url.startswith(("http://", "https://")):
        raise UsageError(
            f"{PREFECT}={url} is no address of a Prefect server",
            f"write {PREFECT}=http://HOST:PORT/api, or unset it",
        )
    page = environ.get("PREFECT_UI_URL") or prefect_page(url)
    return Server(url, page, {**_beginning(environ, _PREFECTS), "PREFECT_UI_URL": page}, False)


def their_mlflow(environ: Mapping[str, str]) -> Server | None:
    """The tracking server or store that MLFLOW_TRACKING_URI names, None where it names none."""
    url = _theirs(environ, MLFLOW)
    if url is None:
        return None
    page = url.rstrip("/") if url.startswith(("http://", "https://")) else None
    return Server(url, page, _beginning(environ, _MLFLOWS), False)


def prefect_page(api: str) -> str:
    """The address of Prefect's pages, by that of its API; Prefect Cloud's have another host."""
    if api.startswith(_CLOUD):
        place = api.removeprefix(_CLOUD).rstrip("/")
        place = place.replace("accounts/", "account/").replace("workspaces/", "workspace/")
        return f"https://app.prefect.cloud/{place}"
    return api.rstrip("/").removesuffix("/api")


def runs_page(server: Server, experiment: str) -> str | None:
    """MLflow's page that lists the runs of an experiment; None for a database.

    The page of all experiments where the experiment isn't there yet or the server doesn't say: the
    plain page of one is for traces, and empty.
    """
    if server.page is None:
        return None
    name = urllib.parse.quote(experiment, safe="")
    ask = urllib.request.Request(
        f"{server.page}/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}",
        headers=server.headers,
    )
    try:
        with server.open(ask, _SECONDS) as answer:
            number = json.load(answer)["experiment"]["experiment_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{server.page}/#/experiments"
    return f"{server.page}/#/experiments/{number}/runs?workflowType=machine_learning"


def own_addresses(environ: Mapping[str, str]) -> list[str]:
    """The addresses of OWN."""
    try:
        return [str(url) for url in json.loads(environ.get(OWN) or "[]")]
    except (ValueError, TypeError):
        return []


def _theirs(environ: Mapping[str, str], name: str) -> str | None:
    url = environ.get(name)
    return url if url and url not in own_addresses(environ) else None


def _beginning(environ: Mapping[str, str], beginnings: tuple[str, ...]) -> dict[str, str]:
    return {k: v for k, v in environ.items() if k.startswith(beginnings)}


def check_prefect(server: Server) -> None:
    """Raise unless a Prefect server answers and takes its credentials.

    Raises:
        UsageError: it doesn't.
    """
    _check(
        server,
        urllib.request.Request(
            f"{server.url.rstrip('/')}/flows/filter",
            b'{"limit": 1}',
            {"content-type": "application/json", **server.headers},
        ),
        f"Prefect at {server.url}",
        "PREFECT_API_AUTH_STRING or PREFECT_API_KEY",
        f"check {PREFECT} (http://HOST:PORT/api) and the network",
    )


def check_mlflow(server: Server) -> None:
    """Raise unless a tracking server answers and takes its credentials; a database is not asked.

    Nor is one whose clients log in by a plugin or a signature.

    Raises:
        UsageError: it doesn't.
    """
    if server.page is None or any(
        server.variables.get(f"MLFLOW_TRACKING_{k}") for k in ("AUTH", "AWS_SIGV4")
    ):
        return
    _check(
        server,
        urllib.request.Request(
            f"{server.page}/api/2.0/mlflow/experiments/search?max_results=1",
            headers=server.headers,
        ),
        f"MLflow at {server.url}",
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        f"check {MLFLOW} and the network",
    )


def _check(
    server: Server, ask: urllib.request.Request, what: str, credentials: str, hint: str
) -> None:
    if server.own:
        hint = "`headrace up` starts what has died"
    try:
        server.open(ask, _SECONDS).close()
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise UsageError(
                f"{what} refuses the credentials ({error.code})", f"set {credentials}"
            ) from None
        raise UsageError(f"{what} answers {error.code}", hint) from None
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{what} does not answer: {getattr(error, 'reason', error)}", hint
        ) from None
