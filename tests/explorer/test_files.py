"""The explorer's files as they are: no way for data to become markup, nothing inline, nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from node.config import DEVELOPMENT_ACCOUNTS, development_signer
from rpc.page import FOLDER, NAME
from runtime.crypto import to_ss58
from runtime.pallets import treasury

SCRIPTS = sorted(FOLDER.glob("*.js"))
MARKUP_SINKS = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc")
MAXIMUM_LINES = 400


def test_every_file_has_a_name_that_the_node_serves() -> None:
    assert {"index.html", "main.js"} <= {path.name for path in FOLDER.iterdir()}
    for path in FOLDER.iterdir():
        assert NAME.fullmatch(path.name), path


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_never_makes_markup_of_text(path: Path) -> None:
    code = re.sub(r"^\s*//.*$", "", path.read_text("utf-8"), flags=re.MULTILINE)
    for sink in MARKUP_SINKS:
        assert sink not in code, f"{path.name} uses {sink}"
    assert 'setAttribute("style"' not in code
    assert len(code.splitlines()) < MAXIMUM_LINES


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_imports_only_files_beside_it(path: Path) -> None:
    for target in re.findall(r"""(?:from|import)\s+["']([^"']+)["']""", path.read_text("utf-8")):
        assert target.startswith("./"), target
        assert (FOLDER / target).is_file(), target


def test_the_page_has_nothing_inline_and_nothing_from_another_host() -> None:
    page = (FOLDER / "index.html").read_text("utf-8")
    assert "style=" not in page
    assert "<style" not in page
    assert not re.search(r"\son\w+=", page)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    for target in re.findall(r"""(?:src|href)="([^"#]+)""", page):
        assert (FOLDER / target).is_file(), target
    for path in FOLDER.iterdir():
        found = re.findall(r"https?://[^\s\"'`)]+", path.read_text("utf-8"))
        assert all(one.startswith("http://www.w3.org/") for one in found), (path.name, found)


def test_the_accounts_that_have_names_are_those_whose_keys_everybody_knows() -> None:
    expected = {to_ss58(development_signer(name).public): f"//{name}" for name in DEVELOPMENT_ACCOUNTS}
    text = (FOLDER / "known.js").read_text("utf-8")
    assert dict(re.findall(r'\["(\w+)", "(//\w+)"\]', text)) == expected
    assert f'TREASURY = "{to_ss58(treasury.ACCOUNT)}"' in text
