"""Where the submitter's side of a task lies on disk, and how a Python file becomes a bundle."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.demo_processes import ROOT
from runtime.errors import SolventError

if TYPE_CHECKING:
    from ml.bundle import Bundle


class CaptureFailed(SolventError):
    """The task file could not be turned into programs; the message is what its process said."""


def tasks_folder() -> Path:
    """Where submitted bundles are kept, one folder a task."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "solvent" / "tasks"


def capture(
    file: Path, folder: Path, steps: int | None = None, batch_size: int | None = None,
    archive: Mapping[str, Any] | None = None,
) -> Bundle:  # fmt: skip
    """Run a task file in a process of its own and open the bundle it leaves. ``archive``: what is said beside a model
    archive, as `ml.archives.Settings` has it. Raises `CaptureFailed`."""
    for library in ("torch", "numpy"):
        if importlib.util.find_spec(library) is None:
            raise ModuleNotFoundError(f"no {library}", name=library)
    command = [sys.executable, "-m", "ml.capture_file", str(file), str(folder)]
    command += ["--steps", str(steps)] if steps else []
    command += ["--batch-size", str(batch_size)] if batch_size else []
    said = {name: value for name, value in (archive or {}).items() if value is not None}
    command += ["--archive", json.dumps(said)] if said else []
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CaptureFailed(done.stderr.strip() or f"the capture ended with exit code {done.returncode}")
    from ml.bundle import Bundle

    return Bundle.open(folder)


def keep_bundle(bundle: Bundle, task: bytes) -> Bundle:
    """Copy a bundle to where ``task result`` looks for it."""
    from ml.bundle import Bundle

    folder = tasks_folder() / task.hex()
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(bundle.folder, folder, dirs_exist_ok=True)
    return Bundle.open(folder)


def kept_bundle(task: bytes) -> Bundle | None:
    """The bundle of a task that was submitted from this machine."""
    from ml.artifacts import ArtifactError
    from ml.bundle import Bundle

    try:
        return Bundle.open(tasks_folder() / task.hex())
    except ArtifactError:
        return None
