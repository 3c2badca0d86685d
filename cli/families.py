"""The ``solvent`` command: finds the families of subcommands in their files and imports one only when it is used."""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys

import click
from click.shell_completion import CompletionItem

from cli.main import interrupted_at_once
from runtime.errors import SolventError

FAMILIES = {
    "dev": "Run a development chain: one node, blocks at once.",
    "node": "Run one node of a network with several validators.",
    "testnet": "Make a network of one's own, and run it on this machine.",
    "demo": "The whole story on this machine: train, prove, cheat, get caught.",
    "validator": "Stake, announce a session key, stand for election.",
    "task": "Estimate, submit and follow training tasks.",
    "worker": "Earn by training, checking, or checking the checkers.",
    "tx": "Sign and send transactions.",
    "query": "Read the chain.",
    "rpc": "Call any method of a node by hand.",
    "index": "The index behind the explorer: build it again.",
    "key": "Make and keep keys.",
    "build-spec": "Print the genesis file of a network.",
    "export-blocks": "Write blocks of a chain to a file.",
    "import-blocks": "Take blocks from a file, checking everything.",
    "check-block": "Execute stored blocks again, and compare.",
    "revert": "Take blocks back that are not final.",
    "purge-chain": "Delete a node's blocks and state; keys stay.",
    "simulate": "Networks in virtual time, with crashes, partitions and liars.",
    "bench": "Measure.",
}
"""Family -> its line in the list; ``cli/<family>.py`` holds it as ``command``, with ``_`` for ``-``."""


COMPLETION = """Completion, in ~/.bashrc: eval "$(_SOLVENT_COMPLETE=bash_source solvent)"; in zsh and fish, zsh_source
and fish_source."""


def module_of(family: str) -> str:
    return f"cli.{family.replace('-', '_')}"


class Families(click.Group):
    """Subcommands by family, imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in FAMILIES if importlib.util.find_spec(module_of(name)) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        with interrupted_at_once():
            command = importlib.import_module(module_of(cmd_name)).command
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What a shell offers; without importing every family, as click would for its help."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        families = [CompletionItem(name, help=FAMILIES[name]) for name in names]
        return [*families, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, FAMILIES[name]) for name in self.list_commands(ctx)])


@click.group(cls=Families, epilog=COMPLETION)
@click.version_option("0.1.0", prog_name="solvent")
def solvent() -> None:
    """Solvent: trustless deep-learning training on a chain that decides quarrels down to one scalar operation."""


ML_LIBRARIES = {"torch", "numpy", "safetensors", "cffi", "_cffi_backend"}
"""What ``pip install .`` leaves out and ``pip install '.[ml]'`` brings."""
ML_ADVICE = (
    "needs the machine-learning part of Solvent: run `pip install '.[ml]'` in a clone of it. "
    "Without it, solvent dev, node, testnet, tx, query and key work."
)


def run() -> None:
    """Run the command line; errors that Solvent defines end in one line and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode gets question marks, not a traceback
    try:
        solvent(prog_name="solvent")
    except SolventError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ML_LIBRARIES:
            raise
        click.echo(f"Error: this command {ML_ADVICE} (There is no {error.name} here.)", err=True)
        sys.exit(1)
