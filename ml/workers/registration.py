"""How a worker enters and leaves the market: bond and ask before work, pause on the way out."""

from __future__ import annotations

from dataclasses import dataclass

from ml.workers.session import CallFailed, Session
from runtime.pallets import tasks, workers
from runtime.pallets.tasks import Task
from runtime.pallets.workers.storage import Worker


@dataclass(frozen=True)
class Offer:
    """What a worker asks for and stakes: price for a unit of gas, bond in units of balance, jobs held at once."""

    price: int
    bond: int
    capacity: int = 4


def ensure_registered(session: Session, role: str, offer: Offer) -> Worker:
    """Register, top up the bond and set the ask, as far as the chain differs from the offer. Returns the record."""
    known: Worker | None = session.chain.read(workers.WORKERS, (session.account, role))
    if known is None or known.bond == 0:
        session.call("workers", workers.Register(role, offer.bond, offer.price, offer.capacity))
        session.journal.event("registered", account=session.address, bond=offer.bond, price=offer.price)
    elif known.bond < offer.bond and known.slashed == 0:
        session.call("workers", workers.BondMore(role, offer.bond - known.bond))
        session.journal.event("bonded", bond=offer.bond)
    elif (known.price, known.capacity) != (offer.price, offer.capacity):
        session.call("workers", workers.SetAsk(role, offer.price, offer.capacity))
        session.journal.event("ask_set", price=offer.price, capacity=offer.capacity)
    else:
        return known
    found: Worker | None = session.chain.read(workers.WORKERS, (session.account, role))
    if found is None:
        raise CallFailed(f"{session.address} registered as {role}, but the chain does not list it")
    return found


def attend(session: Session, role: str, offer: Offer) -> tuple[bytes, ...]:
    """Be registered, and return the tasks at hand; what those need stays reserved, and those that are over are told of
    with what they brought."""
    record = ensure_registered(session, role, offer)
    session.figures.record = record
    session.room.hold(record.jobs)
    for name in session.figures.note_jobs(record.jobs):
        _report_end(session, name)
    return record.jobs


def _report_end(session: Session, name: bytes) -> None:
    """Tell how a task ended for this worker: its status, what it paid, what it cost."""
    task: Task | None = session.chain.read(tasks.TASKS, name)
    if task is None:
        return
    earned = sum(one.amount for one in task.payments if one.account == session.account)
    slashed = sum(one.amount for one in task.slashes if one.account == session.account)
    session.figures.earned += earned
    session.figures.slashed += slashed
    session.figures.ended[task.status] += 1
    session.journal.event("task_over", task=name.hex(), status=task.status, earned=earned, slashed=slashed)


def pause(session: Session, role: str) -> None:
    """Set the ask's capacity to 0, so that no new job meets a worker that is not there."""
    known: Worker | None = session.chain.read(workers.WORKERS, (session.account, role))
    if known is not None and known.bond and known.capacity:
        session.call("workers", workers.SetAsk(role, known.price, 0))
        session.journal.event("paused")
