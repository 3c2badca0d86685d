"""How a worker enters and leaves the market: bond and ask before work, pause on the way out."""

from __future__ import annotations

from dataclasses import dataclass

from ml.workers.session import CallFailed, Session
from runtime.pallets import workers
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


def pause(session: Session, role: str) -> None:
    """Set the ask's capacity to 0, so that no new job meets a worker that is not there."""
    known: Worker | None = session.chain.read(workers.WORKERS, (session.account, role))
    if known is not None and known.bond and known.capacity:
        session.call("workers", workers.SetAsk(role, known.price, 0))
        session.journal.event("paused")
