"""Evidence of equivocations, kept until the chain has punished them.

Whoever sees two headers of one author for one slot, or two votes of one voter in one stage, keeps the pair on its disk.
The next block that it makes carries a pair as an inherent (`runtime.pallets.offences.note_equivocation`), together with
the proof of whose key it was. It drops a pair when the punishment is final, or when none is possible any more.

Keys: ``e`` kind, offender's key, epoch or set -> the two headers or votes. One pair of each is enough to be slashed.
"""

from __future__ import annotations

from chain.db import Batch
from chain.effects import Commit, Effect
from chain.ledger import Ledger, StatePruned, UnknownBlock
from runtime.block import slot_of
from runtime.codec import decode, encode
from runtime.errors import DispatchError
from runtime.pallets import offences, session, system
from runtime.pallets.offences import Evidence, HeaderEquivocation, ReportEquivocation
from runtime.state import State

EVIDENCE = b"e"
MAX_KEPT = 1024
"""Pairs on the disk. Only authorities can make any, and each makes one a session and kind."""


class EvidenceBook:
    """Mutable. What this node can prove, and nobody was punished for yet."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kept: dict[bytes, Evidence] = {
            key: decode(data, Evidence) for key, data in ledger.store.database.range(EVIDENCE)
        }

    def __len__(self) -> int:
        return len(self._kept)

    def offenders(self) -> set[bytes]:
        """The session keys of those whom the evidence accuses."""
        return {offences.offender_of(evidence) for evidence in self._kept.values()}

    def add(self, evidence: Evidence) -> list[Effect]:
        """Keep a pair that does prove something, unless there is one like it."""
        state = self._state()
        if system.has_one_author(state) or len(self._kept) >= MAX_KEPT:
            return []
        try:
            offences.validate_evidence(evidence, self._ledger.genesis_hash)
        except DispatchError:
            return []
        key = EVIDENCE + _place_of(state, evidence)
        if key in self._kept:
            return []
        self._kept[key] = evidence
        return [Commit({key: encode(evidence)})]

    def build_inherent(self, state: State) -> bytes | None:
        """The first report that a block with this state can carry, None when there is none."""
        for evidence in self._kept.values():
            try:
                report = self._build_report(state, evidence)
                if report is not None:
                    offences.validate_report(state, report)
                    return offences.build_inherent(report)
            except DispatchError:
                continue
        return None

    def on_finalized(self) -> list[Effect]:
        """Drop what is punished for good, and what came too late."""
        state, done = self._state(), []
        for key, evidence in self._kept.items():
            try:
                report = self._build_report(state, evidence)
                if report is not None:
                    offences.validate_report(state, report)
            except DispatchError:
                done.append(key)
        for key in done:
            del self._kept[key]
        batch: Batch = dict.fromkeys(done)
        return [Commit(batch)] if batch else []

    def _state(self) -> State:
        return State(self._ledger.state_at(self._ledger.finalized))

    def _build_report(self, state: State, evidence: Evidence) -> ReportEquivocation | None:
        """The evidence with its proof of ownership; None while the session that it belongs to has not begun. Raises
        `UnknownSession` when its members are no longer known."""
        if offences.is_of_the_future(state, evidence):
            return None
        accused = offences.session_of(state, evidence)
        members = self._members_of(state, accused)
        try:
            ownership = session.build_ownership(accused.index, members, offences.offender_of(evidence))
        except ValueError:
            raise session.UnknownSession(f"the offender was no member of session {accused.index}") from None
        return ReportEquivocation(evidence, ownership)

    def _members_of(self, state: State, accused: session.Session) -> tuple[session.Member, ...]:
        """The members of a session: the present ones if its set still rules, else those of the state that it began in.

        (A set is followed by another only when its own first block is final.)
        """
        if accused.set_id == session.current(state).set_id:
            return session.MEMBERS.get(state)
        try:
            started = self._ledger.store.hash_at(accused.started)
            return session.MEMBERS.get(State(self._ledger.state_at(started or bytes(32))))
        except (UnknownBlock, StatePruned):
            raise session.UnknownSession(f"the state of block {accused.started} is no longer kept") from None


def _place_of(state: State, evidence: Evidence) -> bytes:
    if isinstance(evidence, HeaderEquivocation):
        place = b"h" + session.epoch_of(state, slot_of(evidence.first.digest).slot).to_bytes(8, "big")
    else:
        place = b"v" + evidence.first.vote.set_id.to_bytes(8, "big")
    return place + offences.offender_of(evidence)
