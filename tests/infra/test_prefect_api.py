import http.server
import json
import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest

from headrace.infra.errors import HeadraceError
from headrace.infra.ports import free_port
from headrace.infra.prefect_api import request


class _Server(http.server.BaseHTTPRequestHandler):
    got: ClassVar[list[tuple[str, str, object]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.got.append((self.command, self.path, body))
        busy = "busy" in self.path and len(self.got) < 3
        self.send_response(503 if busy else 409 if "taken" in self.path else 200)
        self.end_headers()
        self.wfile.write(b'{"ok": 1}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()


def test_json_goes_out_and_comes_back(api: str) -> None:
    assert request(api, "POST", "/flows/", {"name": "中"}) == {"ok": 1}
    assert _Server.got[-1] == ("POST", "/api/flows/", {"name": "中"})


def test_a_refusal_is_an_error_unless_it_is_allowed(api: str) -> None:
    assert request(api, "POST", "/taken", {}, allow=(409,)) is None
    with pytest.raises(HeadraceError, match="409"):
        request(api, "POST", "/taken", {})


def test_a_busy_server_is_asked_again(api: str) -> None:
    _Server.got.clear()
    assert request(api, "POST", "/busy", {}) == {"ok": 1} and len(_Server.got) == 3
    _Server.got.clear()
    with pytest.raises(HeadraceError, match="503"):
        request(api, "POST", "/busy", {}, tries=1)


def test_no_server_is_an_error_that_names_it() -> None:
    port = free_port()
    with pytest.raises(HeadraceError, match=str(port)):
        request(f"http://127.0.0.1:{port}/api", "POST", "/", {})
