"""Where Prefect, MLflow and Spark answer, and with what their own clients get in.

One interface, two implementations: the stack of a state folder, and the servers of others that the
environment names (PREFECT_API_URL, MLFLOW_TRACKING_URI), each by itself: what it doesn't name is
the stack's. Ask anew where a stack may have come up or gone meanwhile.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.infra.net import credentials, file_variables, servers
from headrace.infra.net.servers import Server
from headrace.infra.spark import auth
from headrace.infra.stack import database, record
from headrace.infra.state.state_dir import Home

SPARK_LOGIN = "HEADRACE_SPARK_LOGIN"
"""Environment variable: `user:password` of Spark's pages."""


@dataclass(frozen=True)
class Cluster:
    """A standalone Spark cluster."""

    master: str
    event_log: str
    """Folder that its history server reads."""
    variables: Mapping[str, str] = field(repr=False)
    """What Spark's own programs find in their environment, the way to the secret included."""


class Endpoints(ABC):
    """The servers that a command, a flow or a worker uses."""

    @property
    @abstractmethod
    def prefect(self) -> Server | None:
        """Prefect's server, None where none is up."""

    @property
    @abstractmethod
    def mlflow(self) -> Server:
        """MLflow's server, or the store of the state folder."""

    @property
    @abstractmethod
    def spark(self) -> Cluster | None:
        """The stack's Spark cluster, None where none is up."""

    def environment(self) -> dict[str, str]:
        """Return the variables by which Prefect's, MLflow's and Spark's clients reach these."""
        out = servers.environment(s for s in (self.prefect, self.mlflow) if s is not None)
        out |= self.spark.variables if self.spark is not None else {}
        return file_variables.absolute(out)

    def check_others(self) -> None:
        """Raise unless the servers of others answer and take their credentials.

        Raises:
            UsageError: one doesn't.
        """
        if self.prefect is not None and not self.prefect.own:
            servers.check_prefect(self.prefect)
        if not self.mlflow.own:
            servers.check_mlflow(self.mlflow)

    def join(self) -> None:
        """Make the clients of Prefect and MLflow in this process, and in its children, use these.

        Before Prefect is imported: it reads its settings once.
        """
        for server in (self.prefect, self.mlflow):
            if server is not None:
                servers.join(server)


class OwnStack(Endpoints):
    """What `headrace up` started for a state folder; before and after it, MLflow's store alone."""

    def __init__(self, home: Home) -> None:
        self._home, self._up = home, record.running(home)
        self._credentials = credentials.known(home) if self._up else None

    def _runs(self, service: str) -> bool:
        return self._up is not None and self._up.serves(service)

    @property
    def prefect(self) -> Server | None:
        """Prefect's server, None where the stack isn't up or was started for another's."""
        if self._up is None or not self._runs("prefect"):
            return None
        word = self._credentials.prefect if self._credentials else None
        return servers.own_prefect(self._up.prefect_api, word)

    @property
    def mlflow(self) -> Server:
        """MLflow's server while that is up, else the store behind it."""
        if self._up is None or not self._runs("mlflow"):
            store = database.stores(self._home, database.kept(self._home))[1]
            return Server(store, None, {servers.MLFLOW: store}, own=True)
        password = self._credentials.mlflow_password if self._credentials else None
        return servers.own_mlflow(self._up.tracking_uri, password)

    @property
    def spark(self) -> Cluster | None:
        """The cluster, None where the stack isn't up."""
        if self._up is None:
            return None
        variables = auth.client_variables(self._home, self._up.spark_master)
        if self._credentials is not None:
            variables[SPARK_LOGIN] = f"{credentials.USER}:{self._credentials.spark_password}"
        return Cluster(self._up.spark_master, self._up.event_log, variables)


class Theirs(Endpoints):
    """The servers of others that an environment names, and another's where it names none."""

    def __init__(self, environ: Mapping[str, str], otherwise: Endpoints) -> None:
        self._otherwise = otherwise
        self._prefect = servers.their_prefect(environ)
        self._mlflow = servers.their_mlflow(environ)

    @property
    def prefect(self) -> Server | None:
        """The server of PREFECT_API_URL."""
        return self._prefect or self._otherwise.prefect

    @property
    def mlflow(self) -> Server:
        """The server or store of MLFLOW_TRACKING_URI."""
        return self._mlflow or self._otherwise.mlflow

    @property
    def spark(self) -> Cluster | None:
        """The cluster of the stack."""
        return self._otherwise.spark


def endpoints(home: Home) -> Endpoints:
    """Return what the environment names, and else the stack of a state folder.

    Raises:
        UsageError: a variable holds no address, or see `record.running`.
    """
    own, environ = OwnStack(home), os.environ
    if servers.their_prefect(environ) or servers.their_mlflow(environ):
        return Theirs(environ, own)
    return own
