"""The demo's end: it may leave its chain to a visitor."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from cli import demo


def test_the_chain_stays_until_somebody_presses_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    said = io.StringIO()
    demo.wait_for_visitor(Console(file=said, width=200), "http://127.0.0.1:1234", 7)
    assert len(waited) == 2
    assert "http://127.0.0.1:1234/#/dispute/7" in said.getvalue()
