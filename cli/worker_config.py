"""A worker's options from a TOML file: the same names as on the command line, which has the last word.

::

    url = "http://127.0.0.1:9944"
    suri = "@/etc/solvent/solver.key"
    max-memory = "12GiB"
    metric-port = 9616   # Error: worker.toml: metric-port is no option ...; did you mean metrics-port?
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

import click


def read_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """The callback of ``--config``: make what the file says the defaults of the command's other options."""
    if path is None:
        return None
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise click.UsageError(f"{path} is not TOML: {error}") from None
    options = {long_name(one): one for one in ctx.command.params if one.name not in ("config", "help")}
    ctx.default_map = {}
    for key, value in found.items():
        if key not in options:
            raise click.UsageError(
                f"{path}: {key} is no option of solvent worker {ctx.command.name}{_advice(key, options)}"
            )
        ctx.default_map[str(options[key].name)] = _convert(ctx, path, key, options[key], value)
    return path


def long_name(option: click.Parameter) -> str:
    """The option's name as it is typed, without dashes before it."""
    return max(option.opts, key=len).removeprefix("--")


def _advice(key: str, options: dict[str, click.Parameter]) -> str:
    near = difflib.get_close_matches(key.replace("_", "-").lower(), options, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(options))}"


def _convert(ctx: click.Context, path: Path, key: str, option: click.Parameter, value: Any) -> Any:
    """The value as the option takes it. Numbers may be given to options that take text, such as amounts."""
    if isinstance(option, click.Option) and option.is_flag != isinstance(value, bool):
        raise click.UsageError(f"{path}: {key} is {'true or false' if option.is_flag else 'no switch'}, not {value!r}")
    if not isinstance(value, (bool, int, float, str)):
        raise click.UsageError(f"{path}: {key} takes one value, not {value!r}")
    try:
        option.type_cast_value(ctx, value if isinstance(value, bool) else str(value))
    except click.BadParameter as error:
        raise click.UsageError(f"{path}: {key}: {error.message}") from None
    return value if isinstance(value, bool) else str(value)
