"""A server as its own clients reach it, and the servers of others that the environment names."""

from __future__ import annotations

import base64
import configparser
import json
import os
import ssl
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata

from headrace.infra.errors import UsageError
from headrace.infra.net import credentials, http_client, proxies
from headrace.infra.net.addresses import of_http, shown
from headrace.infra.net.credentials import USER
from headrace.infra.net.http_client import REFUSED, Answer, NoAnswerError
from headrace.infra.state.state_dir import home

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
_MLFLOWS = (
    *("MLFLOW_", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_", "AZURE_CLIENT_"),
    *("AZURE_TENANT_ID", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
"""Beginnings of the variables that belong to a client's way to its server, and to the artifacts
that the server sends it to."""
_NOT_OF_CLIENTS = (
    *("MLFLOW_SERVER_", "MLFLOW_AUTH_", "MLFLOW_FLASK_", "MLFLOW_BACKEND_", "MLFLOW_DEFAULT_"),
    *("MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_SERVE_", "MLFLOW_HOST", "MLFLOW_PORT"),
    *("MLFLOW_WORKERS", "MLFLOW_CRYPTO_", "MLFLOW_WEBHOOK_", "MLFLOW_RUN_", "MLFLOW_EXPERIMENT_ID"),
)
"""Beginnings of MLflow's variables that a server reads, or that name one run."""
_PATHS = (
    *("PREFECT_API_SSL_CERT_FILE", "MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE"),
    *("MLFLOW_TRACKING_CLIENT_CERT_PATH", "CURL_CA_BUNDLE", "GOOGLE_APPLICATION_CREDENTIALS"),
)
"""Variables that name a file: absolute, as processes of the stack have their own folders."""
_PREFECT_FORM, _MLFLOW_FORM = "http://HOST:PORT/api", "http://HOST:PORT"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
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
        return {**_more_headers(self.variables), **_authorization(self.variables)}

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How certificates are checked and shown; None: by the authorities that the system trusts.

        Raises:
            UsageError: a file of certificates can't be read.
        """
        given = self.variables
        of_prefect = any(name.startswith("PREFECT_") for name in given)
        skip = (
            "PREFECT_API_TLS_INSECURE_SKIP_VERIFY" if of_prefect else "MLFLOW_TRACKING_INSECURE_TLS"
        )
        trusts_all = (given.get(skip) or "").lower() in ("1", "true")
        authorities = (
            ("PREFECT_API_SSL_CERT_FILE",)
            if of_prefect
            else ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        )
        name = next((name for name in authorities if given.get(name) and not trusts_all), "")
        mine = "" if of_prefect else "MLFLOW_TRACKING_CLIENT_CERT_PATH"
        if not name and not given.get(mine) and not trusts_all:
            return None
        try:
            file = given.get(name)
            folder = file if file and os.path.isdir(file) else None
            context = ssl.create_default_context(cafile=None if folder else file, capath=folder)
            if given.get(mine):
                name = mine
                context.load_cert_chain(given[mine])
        except OSError as error:
            raise UsageError(
                f"{name}={given[name]}: {error.strerror or error}",
                "name a PEM file that this user can read",
            ) from None
        if trusts_all:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def ask(
        self, url: str, seconds: float = _SECONDS, *, method: str = "GET", body: object = None
    ) -> Answer:
        """Return what it answers to a request with its credentials (see http_client.ask).

        Raises:
            NoAnswerError: it doesn't answer.
        """
        return http_client.ask(
            url, seconds, method=method, body=body, headers=self.headers, tls=self.tls
        )


def encoded(word: str) -> str:
    """`user:password` as HTTP Basic sends it."""
    return base64.b64encode(word.encode()).decode()


def _more_headers(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what PREFECT_CLIENT_CUSTOM_HEADERS holds.

    Raises:
        UsageError: it is no JSON object of strings.
    """
    name = "PREFECT_CLIENT_CUSTOM_HEADERS"
    try:
        found = json.loads(variables.get(name) or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise UsageError(
            f"{name}: not a JSON object of strings", f"""write {name}='{{"NAME": "VALUE"}}'"""
        )
    return found


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
    own = _put(os.environ)
    # What the user's environment has for another server is no business of this one.
    for name in _CREDENTIALS[PREFECT if PREFECT in server.variables else MLFLOW]:
        os.environ.pop(name, None)
    if server.own:
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
    """Return the variables by which clients reach some servers; OWN names headrace's own."""
    out = proxies.exceptions(os.environ)
    own = []
    for server in found:
        out |= server.variables
        own += [server.url] if server.own else []
    return {**out, OWN: json.dumps(own)} if own else out


def joined_prefect(environ: Mapping[str, str], api: str) -> Server:
    """Return the Prefect server at `api`, with the credentials that an environment has for it.

    Those for another server are never sent.
    """
    try:
        url, login = of_http(PREFECT, environ.get(PREFECT) or "", _PREFECT_FORM)
    except UsageError:
        url, login = "", None
    variables = _of_prefect(environ, url, login) if url == api else {}
    return Server(api, None, variables, own=api in own_addresses(environ))


def their_prefect(environ: Mapping[str, str]) -> Server | None:
    """Return the Prefect server that PREFECT_API_URL names, None if that is headrace's own.

    What the address has of a login goes the way of the other credentials.

    Raises:
        UsageError: it is no URL, or the headers that go with it are none.
    """
    text = environ.get(PREFECT)
    if not text:
        return None
    url, login = of_http(PREFECT, text, _PREFECT_FORM)
    if _is_own(environ, url):
        return None
    variables = _of_prefect(environ, url, login)
    _more_headers(variables)
    page = environ.get("PREFECT_UI_URL") or prefect_page(url)
    return Server(url, page, {**variables, "PREFECT_UI_URL": page}, False)


def _of_prefect(environ: Mapping[str, str], url: str, login: str | None) -> dict[str, str]:
    found = {**_beginning(environ, _PREFECTS), PREFECT: url}
    if login is not None:
        found.pop("PREFECT_API_KEY", None)
        found["PREFECT_API_AUTH_STRING"] = login
    return found


def their_mlflow(environ: Mapping[str, str]) -> Server | None:
    """Return the tracking server or store that MLFLOW_TRACKING_URI names, None where it names none.

    Its credentials are those that MLflow's own client takes: of the address, the environment, or
    ~/.mlflow/credentials.

    Raises:
        UsageError: it is no address that MLflow knows, or one that headrace can't use.
    """
    text = environ.get(MLFLOW)
    if not text or _is_own(environ, text):
        return None
    scheme = text.partition(":")[0].lower() if ":" in text else ""
    if scheme.startswith("databricks") or text in ("databricks", "databricks-uc", "uc"):
        raise UsageError(
            f"{MLFLOW}={shown(text)}: headrace doesn't support Databricks, whose registry has "
            "other names and rights",
            f"set {MLFLOW} to an MLflow server, or unset it",
        )
    variables = _beginning(environ, _MLFLOWS)
    variables = {k: v for k, v in variables.items() if not k.startswith(_NOT_OF_CLIENTS)}
    if scheme not in ("http", "https"):
        if scheme.partition("+")[0] not in _DATABASES and scheme not in _plugins():
            raise UsageError(
                f"{MLFLOW}={shown(text)} is not the address of an MLflow server",
                f"write {MLFLOW}={_MLFLOW_FORM}, or a database as postgresql://…, or unset it",
            )
        return _one_registry(Server(text, None, variables, False), text)
    url, login = of_http(MLFLOW, text, _MLFLOW_FORM)
    if _is_own(environ, url):
        return None
    user, password = _mlflow_login(variables, login)
    variables |= {"MLFLOW_TRACKING_USERNAME": user} if user else {}
    variables |= {"MLFLOW_TRACKING_PASSWORD": password} if password else {}
    return _one_registry(Server(url, url, {**variables, MLFLOW: url}, False), text)


def _one_registry(server: Server, text: str) -> Server:
    """Return the server if models are registered there too; `text`: its address as given.

    Raises:
        UsageError: MLFLOW_REGISTRY_URI names another one.
    """
    name = "MLFLOW_REGISTRY_URI"
    other = server.variables.get(name)
    if other and other.rstrip("/") not in (server.url, text.rstrip("/")):
        raise UsageError(
            f"{name}={shown(other)} isn't the server that {MLFLOW} names, and headrace keeps "
            "runs and models on one server",
            f"unset {name}, or set it to the same",
        )
    same = {name: server.url} if other else {}
    return Server(server.url, server.page, {**server.variables, **same}, server.own)


def _plugins() -> set[str]:
    """Schemes of the stores that installed packages add to MLflow."""
    return {point.name for point in metadata.entry_points(group="mlflow.tracking_store")}


def _mlflow_login(variables: Mapping[str, str], login: str | None) -> tuple[str | None, str | None]:
    """(user, password) as MLflow's client finds them."""
    if login is not None:
        user, _, password = login.partition(":")
        return user, password
    file = configparser.ConfigParser()
    try:
        file.read(os.path.expanduser("~/.mlflow/credentials"))
    except (configparser.Error, UnicodeDecodeError):
        file.clear()
    kept = dict(file["mlflow"]) if file.has_section("mlflow") else {}

    def found(name: str) -> str | None:
        return variables.get(name) or kept.get(name.lower()) or None

    return found("MLFLOW_TRACKING_USERNAME"), found("MLFLOW_TRACKING_PASSWORD")


def experiment_name(environ: Mapping[str, str]) -> str:
    """MLflow's experiment with the runs: on another's server what MLFLOW_EXPERIMENT_NAME says."""
    theirs = their_mlflow(environ)
    return (environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT) if theirs else EXPERIMENT


def prefect_page(api: str) -> str:
    """Return the address of Prefect's pages, by its API's; Prefect Cloud's have another host."""
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
    url = f"{server.page}/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}"
    try:
        number = server.ask(url).json()["experiment"]["experiment_id"]
    except (NoAnswerError, ValueError, KeyError, TypeError):
        return f"{server.page}/#/experiments"
    return f"{server.page}/#/experiments/{number}/runs?workflowType=machine_learning"


def own_addresses(environ: Mapping[str, str]) -> list[str]:
    """Return the addresses of OWN, and those of the state folder's own store and stack.

    Whoever has set the variables, these are no server of others.
    """
    return [*_put(environ), *_recorded()]


def _put(environ: Mapping[str, str]) -> list[str]:
    """Return the addresses of OWN."""
    try:
        return [str(url) for url in json.loads(environ.get(OWN) or "[]")]
    except (ValueError, TypeError):
        return []


def _recorded() -> list[str]:
    """Return the addresses of the state folder's own store, and of what its stack serves."""
    place = home()
    found = [place.mlflow_uri]
    try:
        said = json.loads((place.stack / "stack.json").read_bytes())
        if said["home"] == str(place.root):
            served = {service["name"] for service in said["services"]}
            found += [str(said["prefect_api"])] if "prefect" in served else []
            found += [str(said["tracking_uri"])] if "mlflow" in served else []
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no stack, or none that can be read: stack.py says so
    return found


def _is_own(environ: Mapping[str, str], url: str) -> bool:
    same = url.replace("://localhost:", "://127.0.0.1:", 1)
    return bool({url, same} & set(own_addresses(environ)))


def _beginning(environ: Mapping[str, str], beginnings: tuple[str, ...]) -> dict[str, str]:
    found = {k: v for k, v in environ.items() if k.startswith(beginnings)}
    return found | {k: os.path.abspath(found[k]) for k in _PATHS if found.get(k)}


def check_prefect(server: Server) -> None:
    """Raise unless a Prefect server answers and takes its credentials.

    Raises:
        UsageError: it doesn't.
    """
    _check(
        server,
        lambda: server.ask(f"{server.url}/flows/filter", method="POST", body={"limit": 1}),
        f"Prefect at {shown(server.url)}",
        prefect_login(server),
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
        lambda: server.ask(f"{server.page}/api/2.0/mlflow/experiments/search?max_results=1"),
        f"MLflow at {shown(server.url)}",
        own_login("mlflow_password")
        if server.own
        else "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        f"check {MLFLOW} and the network",
    )


def prefect_login(server: Server) -> str:
    """Return what to do where Prefect's server refuses the credentials."""
    if server.own:
        return own_login("prefect_password")
    return "set PREFECT_API_AUTH_STRING or PREFECT_API_KEY"


def own_login(name: str) -> str:
    """Return what to do where a server of the stack refuses the credentials.

    Args:
        name: the secret (credentials.NAMES).
    """
    variable = credentials.variable(name)
    return (
        f"give {variable} or {variable}_FILE as it was given to `headrace up`, or unset it if it "
        "was not; to have the server take what is given now: `headrace down`, then `headrace up`"
    )


def _check(server: Server, ask: Callable[[], Answer], what: str, login: str, hint: str) -> None:
    if server.own:
        hint = "`headrace up` restarts what has died"
    try:
        answer = ask()
    except NoAnswerError as error:
        raise UsageError(f"{what} does not answer: {error}", hint) from None
    if answer.status in REFUSED:
        raise UsageError(f"{what} refuses the credentials ({answer.status})", login)
    if not answer.ok:
        raise UsageError(f"{what} answers {answer.status}", hint)
    try:
        json.loads(answer.body)
    except ValueError:
        raise UsageError(f"{what} answers with a web page instead of its API", hint) from None
