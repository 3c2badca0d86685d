"""Programs that tasks have named: checked once, kept for the next use, and counted against the block that uses them.

Whether a node still has the checked program is chance (it may have just started), so the block always pays for the
check, by the program's length: once for each program in a block, however many moves it holds about it. A call learns
the program from the state, which its weight cannot look at, so the cost is counted when the call runs. It may so carry
a block past its limit, by the check of one program, and then nothing else fits.
"""

from __future__ import annotations

from runtime.pallet import Context
from runtime.pallets.tasks.storage import PROGRAMS, UnknownTask
from runtime.vm.check import CheckedProgram, check_program, decode_program
from runtime.weights import CALLS

CACHE_BYTES = 2 * 1024 * 1024
"""Canonical bytes of all programs that are kept checked: more than the programs that one block has room to check."""


class ProgramCache:
    """Checked programs by their canonical bytes, those used last; checking is a pure function, so they may be kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: dict[bytes, CheckedProgram] = {}
        self._bytes = 0

    def check(self, data: bytes) -> CheckedProgram:
        """The checked program behind canonical bytes. Raises `ProgramError`."""
        found = self._kept.pop(data, None)
        if found is None:
            found = check_program(decode_program(data))
            self._bytes += len(data)
        self._kept[data] = found
        while self._bytes > self._limit:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._bytes -= len(oldest)
        return found

    def clear(self) -> None:
        """Forget everything, as a restart does."""
        self._kept.clear()
        self._bytes = 0

    @property
    def size(self) -> int:
        """Canonical bytes of what is kept."""
        return self._bytes


CACHE = ProgramCache(CACHE_BYTES)


def check_bytes(data: bytes) -> CheckedProgram:
    """The checked program behind its canonical bytes. Raises `ProgramError`."""
    return CACHE.check(data)


def check_weight(length: int) -> int:
    """Nanoseconds of checking a program of so many bytes."""
    return CALLS["tasks.submit.byte"] * length


def checked_program(ctx: Context, program: bytes) -> CheckedProgram:
    """A program that some task named, checked; its first use in a block counts as if nobody had checked it before.

    Raises `UnknownTask`.
    """
    data = PROGRAMS.get(ctx.state, program)
    if data is None:
        raise UnknownTask(f"no task names program {program.hex()}")
    if program not in ctx.programs:
        ctx.programs.add(program)
        ctx.consume(check_weight(len(data)))
    return check_bytes(data)
