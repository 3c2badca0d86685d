"""Entry point of ``solvent``: finds the families of subcommands in their files and imports one only when it is used."""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys

import click

from runtime.errors import SolventError

FAMILIES = {
    "dev": "Run a development chain: one node, blocks at once.",
    "node": "Run one node of a network with several validators.",
    "testnet": "Make a network of one's own, and run it on this machine.",
    "demo": "The whole story on this machine: train, prove, cheat, get caught.",
    "task": "Estimate, submit and follow training tasks.",
    "worker": "Earn by training, checking, or checking the checkers.",
    "tx": "Sign and send transactions.",
    "query": "Read the chain.",
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


def module_of(family: str) -> str:
    return f"cli.{family.replace('-', '_')}"


class Families(click.Group):
    """Subcommands by family, imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in FAMILIES if importlib.util.find_spec(module_of(name)) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(module_of(cmd_name)).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, FAMILIES[name]) for name in self.list_commands(ctx)])


@click.group(cls=Families)
@click.version_option("0.1.0", prog_name="solvent")
def solvent() -> None:
    """Solvent: trustless deep-learning training on a chain that decides quarrels down to one scalar operation."""


ML_LIBRARIES = {"torch", "numpy", "safetensors", "cffi", "_cffi_backend"}
"""What ``pip install .`` leaves out and ``pip install '.[ml]'`` brings."""
ML_ADVICE = (
    "needs the machine-learning part of Solvent: run `pip install '.[ml]'` in a clone of it. "
    "Without it, solvent dev, node, testnet, tx, query and key work."
)


def main() -> None:
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
    except KeyboardInterrupt:
        click.echo("\nStopped.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
