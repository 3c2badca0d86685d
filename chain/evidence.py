"""Evidence of equivocations, kept until the chain has punished them.

Whoever sees two headers of one author for one slot, or two votes of one voter in one stage, keeps the pair on its disk.
The next block that it makes carries a pair as an inherent (`runtime.pallets.offences.note_equivocation`), together with
the proof of whose key it was. It drops a pair when the punishment is final, or when none is possible any more.

The proof needs all members of the offender's session. States are pruned long before stake is free, so the members of
each set are kept apart, for as long as anybody in it can be slashed.

Keys: ``e`` kind, offender's key, epoch or set -> the two headers or votes (one pair of each is enough to be slashed);
``a`` set -> its members.
"""

from __future__ import annotations

from chain.db import Batch
from chain.effects import Commit, Effect
from chain.ledger import Ledger
from runtime.block import slot_of
from runtime.codec import decode, encode
from runtime.errors import DispatchError
from runtime.pallets import offences, session, system
from runtime.pallets.offences import Evidence, HeaderEquivocation, ReportEquivocation
from runtime.state import State

EVIDENCE, MEMBERS = b"e", b"a"
MAX_KEPT = 1024
"""Pairs on the disk. Only authorities can make any, and each makes one a session and kind."""


class EvidenceBook:
    """Mutable. What this node can prove, and nobody was punished for yet."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kept: dict[bytes, Evidence] = {
            key: decode(data, Evidence) for key, data in ledger.store.database.range(EVIDENCE)
        }
        self._sets = {key: b"" for key, _ in ledger.store.database.range(MEMBERS)}
        """Sets whose members are known; with the bytes where they are not on the disk yet."""
        self._notice_set(self._state())

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

    def _notice_set(self, state: State) -> None:
        """Every set passes here while it is the present one, since its first block is finalized by itself."""
        if not system.has_one_author(state):
            key = MEMBERS + session.current(state).set_id.to_bytes(8, "big")
            if key not in self._sets:
                self._sets[key] = encode(session.MEMBERS.get(state))

    def on_finalized(self) -> list[Effect]:
        """Drop what is punished for good, and what came too late."""
        state, done = self._state(), []
        self._notice_set(state)
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
        for key in self._outdated_sets(state):
            del self._sets[key]
            batch[key] = None
        for key, members in self._sets.items():
            if members:
                batch[key], self._sets[key] = members, b""
        return [Commit(batch)] if batch else []

    def _outdated_sets(self, state: State) -> list[bytes]:
        """Sets in which nobody can be slashed any more."""
        oldest = session.SESSIONS.get(state, session.OLDEST.get(state))
        if oldest is None:
            return []
        first = MEMBERS + oldest.set_id.to_bytes(8, "big")
        return [key for key in self._sets if key < first]

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
        """The members of a session: of the present one if its set still rules, else those that were noted."""
        if accused.set_id == session.current(state).set_id:
            return session.MEMBERS.get(state)
        key = MEMBERS + accused.set_id.to_bytes(8, "big")
        data = self._sets.get(key) or self._ledger.store.database.get(key)
        if data is None:
            raise session.UnknownSession(f"this node came too late to know the members of session {accused.index}")
        return decode(data, tuple[session.Member, ...])


def _place_of(state: State, evidence: Evidence) -> bytes:
    if isinstance(evidence, HeaderEquivocation):
        place = b"h" + session.epoch_of(state, slot_of(evidence.first.digest).slot).to_bytes(8, "big")
    else:
        place = b"v" + evidence.first.vote.set_id.to_bytes(8, "big")
    return place + offences.offender_of(evidence)
