"""Take the pictures of Prefect's and MLflow's pages that the docs show.

    HEADRACE_HOME=HOME .venv/bin/python tests/helpers/pictures.py docs [NAME …]

from a stack that is up, with its deployments, a chain and a retraining that an alert started. It
needs Chromium; nothing leaves the machine. Each page is opened with the password of the state
folder, waited for until it shows what it is there for, and saved as PNG with a palette.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.infra.stack.endpoints import endpoints
from headrace.infra.stack.prefect_api import request
from headrace.infra.state.state_dir import home

PATIENCE = 60.0
SETTLE = 3.0
_EXPAND = "button[data-component-id*=runnamecellrenderer]"
"""MLflow's buttons that show the children of a run."""
SCALE = 0.8
"""Of a page, so that more of it fits."""


@dataclass(frozen=True)
class Picture:
    """A page and what it has to show."""

    name: str
    server: str
    path: str
    size: tuple[int, int]
    shows: tuple[str, ...]
    """Texts that stand on the page once it is there."""
    tab: str | None = None
    """Text of a tab that is opened first."""
    expand: str | None = None
    """CSS selector of buttons that are all pressed first."""


class Browser:
    """Headless Chromium, spoken to by the DevTools protocol."""

    def __init__(self, port: int) -> None:
        from websockets.sync.client import connect

        address = f"http://127.0.0.1:{port}/json/new?about:blank"
        with urllib.request.urlopen(urllib.request.Request(address, method="PUT")) as answer:
            target = json.load(answer)
        self._socket = connect(target["webSocketDebuggerUrl"], max_size=2**28)
        self._numbers = itertools.count(1)
        self.call("Network.enable")
        self.call("Page.enable")
        # Else it opens for whoever comes for the first time.
        self.call("Page.addScriptToEvaluateOnNewDocument",
                  source="localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1',"
                  "'true')")  # fmt: skip

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Answer of a DevTools command."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv(timeout=PATIENCE))
            if said.get("id") == number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']}")
                return dict(said["result"])

    def value(self, script: str) -> Any:
        """Value of a JavaScript expression on the page."""
        return self.call("Runtime.evaluate", expression=script)["result"].get("value")

    def until(self, script: str, what: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.value(script):
            if time.monotonic() > end:
                text = self.value("document.body.innerText")
                raise RuntimeError(f"{what} is not on the page:\n{text}")
            time.sleep(0.3)

    def take(self, url: str, headers: Mapping[str, str], picture: Picture) -> bytes:
        """A picture as PNG."""
        width, height = picture.size
        self.call("Network.setExtraHTTPHeaders", headers=dict(headers))
        self.call("Emulation.setDeviceMetricsOverride", width=round(width / SCALE),
                  height=round(height / SCALE), deviceScaleFactor=SCALE, mobile=False)  # fmt: skip
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        if picture.tab:
            found = (
                "[...document.querySelectorAll('*')].findLast(e => e.offsetParent"
                f" && e.innerText?.trim() === {json.dumps(picture.tab)})"
            )
            self.until(f"!!{found}", picture.tab)
            time.sleep(SETTLE)
            self.value(f"{found}.click()")
        if picture.expand:
            found = f"[...document.querySelectorAll({json.dumps(picture.expand)})]"
            self.until(f"{found}.length > 0", picture.expand)
            time.sleep(SETTLE)
            self.value(f"{found}.forEach(e => e.click())")
        for text in picture.shows:
            self.until(f"document.body.innerText.includes({json.dumps(text)})", text)
        time.sleep(SETTLE)
        shot = self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, which ends with this."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sys.exit("Chromium is not installed")
    with tempfile.TemporaryDirectory() as profile:
        process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            said = Path(profile) / "DevToolsActivePort"
            end = time.monotonic() + PATIENCE
            while not (said.exists() and said.read_text().strip()):
                if time.monotonic() > end:
                    sys.exit("Chromium did not start")
                time.sleep(0.1)
            yield Browser(int(said.read_text().split()[0]))
        finally:
            process.terminate()
            process.wait(30)


def pictures() -> list[Picture]:
    """The pictures of the docs, of what is in the state folder's servers."""
    import mlflow

    api = endpoints(home()).prefect
    if api is None:
        sys.exit("no stack is up: `headrace up`")
    client = mlflow.MlflowClient()
    deployment = request(api.url, "GET", "/deployments/name/curate/daily", None)["id"]
    asked = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}, "sort": "END_TIME_DESC",
             "deployments": {"name": {"any_": ["on-drift"]}}}  # fmt: skip
    runs = request(api.url, "POST", "/flow_runs/filter", asked)
    promoted = [run for run in runs if run["state"]["name"] == "Promoted"] or runs
    if not promoted:
        sys.exit("no alert has made a run: `headrace alert --window FILE`")
    (experiment,) = [e for e in client.search_experiments() if e.name.startswith("headrace")]
    number = experiment.experiment_id
    pretrains = client.search_runs([number], "run_name = 'pretrain'")
    pretrain = max(pretrains, key=lambda r: r.data.metrics.get("tokens", 0)).info.run_id
    runs_page, training = f"/#/experiments/{number}/runs", "?workflowType=machine_learning"
    return [
        Picture("prefect-form", "prefect", f"/deployments/deployment/{deployment}/run",
                (1200, 1153), ("Parameters", "Max Record Bytes")),
        Picture("prefect-run", "prefect", f"/runs/flow-run/{promoted[0]['id']}",
                (1200, 865), ("ledger", "decision"), tab="Artifacts"),
        Picture("prefect-runs", "prefect", "/runs", (1200, 814), ("retrain",)),
        Picture("mlflow-runs", "mlflow", f"{runs_page}{training}", (1200, 656),
                ("chain", "pretrain", "ewc"), expand=_EXPAND),
        Picture("mlflow-curves", "mlflow", f"{runs_page}/{pretrain}/model-metrics{training}",
                (1200, 800), ("expert_load", "loss")),
        Picture("mlflow-model", "mlflow", "/#/models/headrace", (1200, 940),
                ("Champion: version", "champion")),
    ]  # fmt: skip


def main(folder: Path, names: list[str]) -> None:
    """Take them all, or those that are named."""
    from PIL import Image

    used = endpoints(home())
    used.join()
    assert used.prefect is not None
    of = {"prefect": used.prefect, "mlflow": used.mlflow}
    with chromium() as browser:
        for picture in pictures():
            if names and picture.name not in names:
                continue
            server = of[picture.server]
            shot = browser.take(f"{server.page}{picture.path}", server.headers, picture)
            image = (
                Image.open(io.BytesIO(shot)).convert("RGB").quantize(128, dither=Image.Dither.NONE)
            )
            image.save(folder / f"{picture.name}.png", optimize=True)
            print(picture.name, image.size)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
