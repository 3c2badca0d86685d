"""Ctrl-C at any moment of a command's start, and what a shell completes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.support.node import ROOT, solvent

INTERRUPTED_IMPORT = """
import os, signal, sys

wanted = sys.argv.pop(1)

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.{handler})
sys.meta_path.insert(0, Interrupt())
from cli.main import main
sys.argv[0] = "solvent"
main()
"""
"""Runs ``solvent``, with Ctrl-C pressed just as it begins to import a certain module."""


def interrupted(module: str, *arguments: str, handler: str = "default_int_handler") -> subprocess.CompletedProcess[str]:
    """``handler`` is what Ctrl-C does in a program that was started like this one."""
    command = [sys.executable, "-c", INTERRUPTED_IMPORT.replace("{handler}", handler), module, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("cli.families", ("key", "generate")),
        ("click", ("key", "generate")),
        ("runtime.errors", ("--help",)),
        ("rich", ("query", "block")),
        ("cli.dev", ("dev", "--tmp", "--rpc-port", "0")),
        ("plyvel", ("dev", "--tmp", "--rpc-port", "0")),
        ("trio", ("dev", "--tmp", "--rpc-port", "0")),
        ("nacl", ("node", "--chain", "local", "--tmp", "--alice")),
        ("libp2p", ("node", "--chain", "local", "--tmp", "--rpc-port", "0", "--port", "0")),
        ("mnemonic", ("key", "generate")),
    ],
)
def test_ctrl_c_while_a_command_starts_shows_no_traceback(module: str, arguments: tuple[str, ...]) -> None:
    done = interrupted(module, *arguments)
    assert done.returncode in (-signal.SIGINT, 130, 1), (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 1, done.stderr
    assert "Secret" not in done.stdout


def test_a_program_in_the_background_that_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    done = interrupted("rich", "key", "inspect", "//Alice", handler="SIG_IGN")
    assert (done.returncode, "5FA9nQDVg267DEd8m1Zyp" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [("solvent pur", "purge-chain"), ("solvent key ins", "inspect"), ("solvent node --ali", "--alice")],
)
def test_a_shell_completes_commands_and_options(words: str, expected: str) -> None:
    environment = {
        **os.environ,
        "_SOLVENT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = solvent(env=environment)
    assert expected in [line.partition(",")[2] for line in done.stdout.splitlines()], done.stdout + done.stderr
