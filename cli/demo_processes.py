"""The demo's child processes: started in groups of their own, logged to files, and never left behind.

On Linux a child also asks the kernel to be killed when its parent dies (``PR_SET_PDEATHSIG``), so that even a crash or
a ``kill -9`` of the demo leaves no process running.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 5.0
NODE = "node"
"""The name of the child that the others talk to."""


def solvent_command(*arguments: str) -> list[str]:
    """The command line that runs ``solvent`` with this interpreter and this source tree."""
    return [sys.executable, "-c", "from cli.main import main; main()", *arguments]


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> Callable[[], None] | None:
    """A hook for a child to run before it starts: be killed when the parent ends. Only Linux has it."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    parent = os.getpid()

    def hook() -> None:
        library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return hook


class Child:
    """One running program and its log file. Mutable: it ends."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
        environment["PYTHONUNBUFFERED"] = "1"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the child's whole process group; a child that is gone already is fine."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Ask the child to end, and insist after ``grace`` seconds."""
        if self.running:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace)
        self.signal(signal.SIGKILL)
        self.process.wait()

    def tail(self, lines: int = 20) -> str:
        """The last lines of the child's log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text("utf-8", errors="replace").splitlines()[-lines:])


class Family:
    """All children of one demo; leaving the context stops every one of them."""

    def __init__(self, log_folder: Path) -> None:
        self.log_folder = log_folder
        self.children: dict[str, Child] = {}

    def __enter__(self) -> Family:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop_all()

    def start(self, name: str, *arguments: str, inside: Sequence[str] = ()) -> Child:
        """Start ``solvent`` with these arguments under a name, its output in ``<name>.log``.

        ``inside`` is a command that runs the command after it in other surroundings.
        """
        child = Child(name, [*inside, *solvent_command(*arguments)], self.log_folder / f"{name}.log")
        self.children[name] = child
        return child

    def dead(self) -> list[Child]:
        """The children that ended although nobody stopped them."""
        return [child for child in self.children.values() if not child.running]

    def stop(self, name: str) -> None:
        """Stop one child and forget it."""
        child = self.children.pop(name, None)
        if child is not None:
            child.stop()

    def stop_all(self) -> None:
        """Stop every child; safe to call again. The node goes last, so that the workers can still say goodbye to it;
        they share one time of grace."""
        names = [name for name in self.children if name != NODE]
        for name in names:
            if self.children[name].running:
                self.children[name].signal(signal.SIGTERM)
        ends = time.monotonic() + GRACE_SECONDS
        for name in names:
            self.children.pop(name).stop(max(ends - time.monotonic(), 0.0))
        self.stop(NODE)
