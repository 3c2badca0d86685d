"""Players of the dispute game: what a solver answers and a challenger asks, from a replay of their own.

A *tracer* is a party's replay of one segment; `Defender` and `Challenger` turn it into moves. Give both sides the
same program and inputs and one of them a wrong value anywhere, and the game ends against that side.
"""

from ml.dispute.challenger import Challenger
from ml.dispute.defender import Defender
from ml.dispute.tracer import ElementRuns, Tracer, Trees

__all__ = ["Challenger", "Defender", "ElementRuns", "Tracer", "Trees"]
