"""Who may use the stack's Spark cluster: its processes and drivers share a secret.

    HOME/stack/spark-conf/spark-defaults.conf       what a driver needs
    HOME/stack/spark-daemons/spark-defaults.conf    what master, workers and history server need

Spark reads them by SPARK_CONF_DIR, so that the secret stands on no command line; they are there, a
given secret in them, while the stack is up. RPC and blocks on
the way, and what shuffles leave on the disk, are encrypted with keys that follow from it. The pages
of the daemons want a token that is signed with it (`bearer`), which spark_pages.py adds for whoever
has logged in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path

from headrace.infra import storage
from headrace.infra.net.credentials import Credentials
from headrace.infra.state.state_dir import Home

_FILE = "spark-defaults.conf"
_TOKEN_SECONDS = 300
_FILTER = "org.apache.spark.ui.JWSFilter"


def driver_folder(home: Home) -> Path:
    """SPARK_CONF_DIR of drivers."""
    return home.stack / "spark-conf"


def daemon_folder(home: Home) -> Path:
    """SPARK_CONF_DIR of the cluster's own processes."""
    return home.stack / "spark-daemons"


def settings(secret: str) -> dict[str, str]:
    """Spark's settings for a process that shares a secret with others."""
    return {
        "spark.authenticate": "true",
        "spark.authenticate.secret": secret,
        "spark.network.crypto.enabled": "true",
        "spark.network.crypto.cipher": "AES/GCM/NoPadding",
        "spark.io.encryption.enabled": "true",
    }


LOCAL = {"spark.authenticate": "true", "spark.network.crypto.enabled": "true"}
"""Settings of a session in one process, which makes a secret by itself: its driver listens too."""


def daemon_settings(secret: str) -> dict[str, str]:
    """Return `settings` of master, workers and history server, whose pages are locked."""
    key = base64.urlsafe_b64encode(_page_key(secret)).decode()
    return {
        **settings(secret),
        "spark.ui.filters": _FILTER,
        f"spark.{_FILTER}.param.secretKey": key,
    }


def write(home: Home, master: str, credentials: Credentials) -> None:
    """Leave both folders in the state folder."""
    secret = credentials.spark_secret
    for folder, values in (
        (driver_folder(home), {"spark.master": master, **settings(secret)}),
        (daemon_folder(home), daemon_settings(secret)),
    ):
        write_conf(folder, values)


def forget(home: Home) -> None:
    """Remove what `write` has left, once nothing of the stack runs."""
    for folder in (driver_folder(home), daemon_folder(home)):
        (folder / _FILE).unlink(missing_ok=True)


def write_conf(folder: Path, values: dict[str, str]) -> None:
    """Return a SPARK_CONF_DIR with these settings, which only its owner can read."""
    text = "".join(f"{k} {v}\n" for k, v in values.items())
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    storage.write_private_text(folder / _FILE, text)


def client_variables(home: Home, master: str) -> dict[str, str]:
    """Return the variables by which a master lets a driver in; none for another's master."""
    folder = driver_folder(home)
    try:
        known = (folder / _FILE).read_text().splitlines()
    except OSError:
        return {}
    return {"SPARK_CONF_DIR": str(folder)} if f"spark.master {master}" in known else {}


def secret_of(folder: Path) -> str:
    """Return the secret in a SPARK_CONF_DIR."""
    for line in (folder / _FILE).read_text().splitlines():
        if line.startswith("spark.authenticate.secret "):
            return line.split(" ", 1)[1]
    raise ValueError(f"no secret in {folder}")


def bearer(secret: str) -> str:
    """Return the Authorization header that the daemons' pages want: a JSON Web Signature, HS256.

    See RFC 7515; it is good for some minutes.
    """

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    claims = {"exp": int(time.time()) + _TOKEN_SECONDS}
    text = ".".join(part(json.dumps(v).encode()) for v in ({"alg": "HS256"}, claims))
    signature = hmac.digest(_page_key(secret), text.encode(), "sha256")
    return f"Bearer {text}.{part(signature)}"


def _page_key(secret: str) -> bytes:
    return hashlib.sha256(b"pages\0" + secret.encode()).digest()
