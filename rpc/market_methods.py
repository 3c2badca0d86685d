"""``tasks_*``: what a training task would cost, before anything is signed."""

from __future__ import annotations

from typing import Any

from rpc.errors import InvalidParameter
from rpc.kinds import HEX
from rpc.render import render_record
from rpc.table import MethodTable
from rpc.view import NodeView
from runtime.errors import DispatchError
from runtime.pallets import system, tasks

TABLE = MethodTable()


@TABLE.method("tasks_estimate", spec=HEX, program=HEX, initProgram=HEX)
def estimate(node: NodeView, spec: bytes, program: bytes, initProgram: bytes) -> Any:
    """The price of a task at its limit, part by part, from the encoded spec and programs: what `tasks.submit` would
    escrow."""
    market = system.parameters(node.ledger.state()).market
    try:
        _, price = tasks.validate_submission(spec, program, initProgram, market)
    except DispatchError as error:
        parameter = "spec" if error.code == "InvalidSpec" else "program or initProgram"
        raise InvalidParameter(parameter, f"{error.code}: {error}") from None
    return render_record(price)
