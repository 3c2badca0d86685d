"""A browser, a chain with real tasks and a real dispute, and a recorded node for states that are rare on a real one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.demo_processes import Child, free_port, solvent_command
from solvent.client import Client
from tests.explorer.browser import DESKTOP, MISSING, Browser, is_available
from tests.explorer.recorded import RecordedNode

STEPS = 40
DEMO_SECONDS = 240.0


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say loudly that nothing was tested where there is no browser."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if MISSING in str(report.longrepr)]
    if skipped:
        terminalreporter.write_sep("!", f"{len(skipped)} NOT RUN: {MISSING}", red=True, bold=True)


@pytest.fixture(scope="session")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not is_available():
        pytest.skip(MISSING)
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def window(one_browser: Browser) -> Browser:
    """The browser as a reader finds it: a wide, light screen."""
    one_browser.resize(DESKTOP)
    one_browser.prefer(prefers_color_scheme="light", prefers_reduced_motion="no-preference")
    one_browser.errors()
    return one_browser


class Chain:
    """A development chain on which the demo's story happened. Mutable: its node can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.story = tell_story(folder)
        (self.base,) = folder.glob("run-*/chain")
        self.node: Child | None = None
        self.start()

    def start(self) -> None:
        command = solvent_command("dev", "--base-path", str(self.base), "--rpc-port", str(self.port), "--quiet")
        self.node = Child("node", command, self.folder / "node.log")
        self.client = Client(self.url, patience=30.0)
        self.client.head()

    def stop(self) -> None:
        if self.node is not None:
            self.client.close()
            self.node.stop()
        self.node = None

    def result(self, method: str, *params: Any) -> Any:
        return self.client.call(method, *params)


def tell_story(folder: Path) -> dict[str, Any]:
    """Run the demo and keep its chain; returns what it says of itself."""
    command = solvent_command(
        "demo", "--json", "--steps", str(STEPS), "--keep", str(folder), "--output", str(folder / "out")
    )
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=DEMO_SECONDS, env={**os.environ, "COLUMNS": "100"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    story: dict[str, Any] = json.loads(done.stdout)
    return story


@pytest.fixture(scope="session")
def one_chain(one_browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    chain = Chain(tmp_path_factory.mktemp("chain"))
    yield chain
    chain.stop()


@pytest.fixture
def chain(one_chain: Chain, window: Browser) -> Chain:
    """The chain, with the browser looking at it."""
    if one_chain.node is None or not one_chain.node.running:
        one_chain.start()
    window.base = one_chain.url
    return one_chain


@pytest.fixture
def recorded(window: Browser) -> Iterator[RecordedNode]:
    """A node that answers from a recording, with the browser looking at it."""
    with RecordedNode() as node:
        window.base = node.url
        yield node
