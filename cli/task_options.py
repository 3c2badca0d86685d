"""Options and arguments that commands about tasks share."""

from __future__ import annotations

from typing import Any

import click


class TaskType(click.ParamType[bytes]):
    """A task id in hexadecimal."""

    name = "task"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            name = bytes.fromhex(value.removeprefix("0x"))
        except ValueError:
            name = b""
        if len(name) != 32:
            self.fail(f"{value!r} is not a task id (0x and 64 hex digits)", param, ctx)
        return name


TASK_ARGUMENT = click.argument("name", metavar="TASK", type=TaskType())
URL = click.option("--url", default="http://127.0.0.1:9944", show_default=True, help="The node's RPC address.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
