"""The open disputes about a proof stand in a line: a linked list, so that joining and leaving it take the same few
reads and writes however long it is. Their number has no bound but the bonds: with one, a solver could fill the places
with sham challengers and keep the honest ones out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runtime.codec import replace
from runtime.pallets.disputes.storage import LINES, LINKS, Line, Link
from runtime.state import State

END = 2**63 - 1
"""Stands for no dispute."""


def join(state: State, task: bytes, attempt: int, number: int) -> None:
    """Put a dispute at the end of the line about the proof of that attempt."""
    line = LINES.get(state, task)
    if line is None:
        LINES.put(state, task, Line(attempt, number, number))
        LINKS.put(state, number, Link(END, END))
        return
    LINKS.put(state, line.last, replace(_link(state, line.last), after=number))
    LINKS.put(state, number, Link(line.last, END))
    LINES.put(state, task, replace(line, last=number))


def leave(state: State, task: bytes, number: int) -> None:
    """Take a dispute out of the line it stands in; the last one takes the line with it."""
    line, link = LINES.get(state, task), _link(state, number)
    assert line is not None
    LINKS.delete(state, number)
    if link.before == link.after == END:
        LINES.delete(state, task)
        return
    if link.before != END:
        LINKS.put(state, link.before, replace(_link(state, link.before), after=link.after))
    if link.after != END:
        LINKS.put(state, link.after, replace(_link(state, link.after), before=link.before))
    first = link.after if link.before == END else line.first
    last = link.before if link.after == END else line.last
    LINES.put(state, task, replace(line, first=first, last=last))


def dissolve(state: State, task: bytes) -> int:
    """Forget the line about a voided proof: its disputes are pointless now. Returns the first of them, or `END`."""
    line = LINES.get(state, task)
    LINES.delete(state, task)
    return END if line is None else line.first


def take_first(state: State, number: int) -> int:
    """Remove the first dispute of a dissolved line; returns the next one, or `END`."""
    after = _link(state, number).after
    LINKS.delete(state, number)
    return after


def walk(line: Line | None, link_of: Callable[[int], Link | None]) -> Iterator[int]:
    """The open disputes of a line, oldest first, for readers of the chain, who may see links of different blocks: the
    walk ends where a link is gone."""
    number = END if line is None else line.first
    while number != END:
        link = link_of(number)
        yield number
        number = END if link is None else link.after


def _link(state: State, number: int) -> Link:
    link = LINKS.get(state, number)
    assert link is not None
    return link
