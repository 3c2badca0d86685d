"""Offences: equivocation reported with its proof, checked here completely, and slashed.

To *equivocate* is to seal two different headers for one slot, or to sign two different votes for one stage of a round.
Two signatures prove it. The report also proves whose key it was: a path from the member to the root of the session.
A header belongs to the session of its slot, a vote to the first session of its set.

With S the stake of everybody who offended in a session and T the stake of all its members, each of them loses
min((3 S / T)^2, 1) of its weight: a lone slip costs little, a third of the network everything. When another offence
of a session comes to light, the earlier offenders pay the difference. An account is punished once for a session,
whatever it signed in it. The reporter gets a share of what each report takes, the treasury the rest; the offender is
chilled and left out of the next session.
"""

from __future__ import annotations

from runtime import crypto
from runtime.block import Call, Header, Inherent, Seal, seal_message, slot_of
from runtime.codec import U63, AccountId, Record, encode
from runtime.errors import DispatchError, InvalidBlock
from runtime.pallet import Context, InvariantBroken, Pallet
from runtime.pallets import session, staking, system
from runtime.state import Map, State
from runtime.votes import SignedVote, verify_vote
from runtime.weights import CALLS

PALLET = Pallet("offences")

PRUNED_AT_ONCE = 64
MAXIMUM_DEPTH = 10
"""Path length up to which a report's weight doubles; sets are not larger."""


class Offender(Record):
    """A member that offended in a session: its weight then, and the part of it that is forfeit so far."""

    account: AccountId
    weight: U63
    forfeit: U63


class HeaderEquivocation(Record):
    """Two different headers that one authority sealed for one slot."""

    first: Header
    second: Header


class VoteEquivocation(Record):
    """Two different votes of one voter in one stage of a round."""

    first: SignedVote
    second: SignedVote


Evidence = HeaderEquivocation | VoteEquivocation


# --- storage

OFFENDERS: Map[int, tuple[Offender, ...]] = PALLET.map("offenders", U63, tuple[Offender, ...])
"""Who offended in each punishable session."""
OLDEST = PALLET.value("oldest", U63, 0)
"""Offenders of sessions before this one are forgotten."""

# --- events


@PALLET.event
class OffenceReported(Record):
    """Who offended in which session, and what it cost: ``offending`` of the session's ``total`` stake offended so far,
    ``forfeit`` is the offender's part, and ``taken`` was taken now, earlier offenders' difference included."""

    session: U63
    offender: AccountId
    kind: str
    reporter: AccountId
    offending: U63
    total: U63
    forfeit: U63
    taken: U63
    reward: U63


# --- errors


@PALLET.error
class NoEquivocation(DispatchError):
    """What was brought does not contradict itself: another slot, author, voter, round or stage, or twice the same."""


@PALLET.error
class BadSignature(DispatchError):
    """One of the two signatures is not that of the key that is accused."""


@PALLET.error
class WrongSession(DispatchError):
    """The proof of ownership is for another session than the one that the offence belongs to, or for another key."""


@PALLET.error
class AlreadyPunished(DispatchError):
    """The account was punished for this session."""


# --- calls


class ReportEquivocation(Record):
    """An equivocation, and the proof of whose key signed it."""

    evidence: Evidence
    ownership: session.KeyOwnership


def report_weight(args: ReportEquivocation) -> int:
    """Two signatures and a path; then every offender of the session, of whom there are at most as many as leaves."""
    members = 1 << min(len(args.ownership.path), MAXIMUM_DEPTH)
    return CALLS["offences.report_equivocation"] + members * CALLS["offences.report_equivocation.offender"]


@PALLET.call(weight=report_weight)
def report_equivocation(ctx: Context, origin: AccountId, args: ReportEquivocation) -> None:
    """Have an equivocation punished."""
    _take_report(ctx, origin, args)


@PALLET.inherent(weight=report_weight)
def note_equivocation(ctx: Context, args: ReportEquivocation) -> None:
    """Have an equivocation punished that the block's author has seen: its node holds no account that could sign a
    call. The author is the reporter. A report that proves nothing, or nothing new, makes the block invalid."""
    _take_report(ctx, ctx.author, args)


def _take_report(ctx: Context, reporter: bytes, args: ReportEquivocation) -> None:
    accused, member = validate_report(ctx.state, args), args.ownership.member
    kind = "header" if isinstance(args.evidence, HeaderEquivocation) else "vote"
    everyone = (*(OFFENDERS.get(ctx.state, accused.index) or ()), Offender(member.account, member.weight, 0))
    offending = sum(offender.weight for offender in everyone)
    taken, reward = _punish(ctx, reporter, accused, everyone, offending)
    staking.stop_validating(ctx, member.account)
    session.disable(ctx, member.account)
    forfeit = compute_forfeit(member.weight, offending, accused.total)
    figures = (offending, accused.total, forfeit, taken, reward)
    ctx.deposit(OffenceReported(accused.index, member.account, kind, reporter, *figures))


def _punish(
    ctx: Context, reporter: bytes, accused: session.Session, everyone: tuple[Offender, ...], offending: int
) -> tuple[int, int]:
    """Bring every offender of a session up to the present fraction; what was taken, and the reporter's part."""
    taken = reward = 0
    updated = []
    for offender in everyone:
        forfeit = compute_forfeit(offender.weight, offending, accused.total)
        slashed, rewarded = staking.slash(ctx, offender.account, forfeit - offender.forfeit, reporter)
        taken, reward = taken + slashed, reward + rewarded
        updated.append(Offender(offender.account, offender.weight, forfeit))
    OFFENDERS.put(ctx.state, accused.index, tuple(updated))
    return taken, reward


def _belongs(state: State, evidence: Evidence, accused: session.Session) -> bool:
    if isinstance(evidence, HeaderEquivocation):
        return accused.covers(session.epoch_of(state, slot_of(evidence.first.digest).slot))
    return accused.set_id == evidence.first.vote.set_id and accused.set_first == accused.index


# --- hooks


@PALLET.on_initialize
def forget(ctx: Context) -> None:
    """Drop the offenders of sessions that are past punishing."""
    oldest = OLDEST.get(ctx.state)
    until = min(session.OLDEST.get(ctx.state), oldest + PRUNED_AT_ONCE)
    if oldest < until:
        for index in range(oldest, until):
            OFFENDERS.delete(ctx.state, index)
        OLDEST.put(ctx.state, until)


# --- functions for whoever reports


def compute_forfeit(weight: int, offending: int, total: int) -> int:
    """min((3 offending / total)^2, 1) of ``weight``, rounded down: the offender keeps the remainder."""
    return weight * min(9 * offending * offending, total * total) // (total * total)


def validate_report(state: State, report: ReportEquivocation) -> session.Session:
    """The session whose member a report convicts. Raises what `report_equivocation` would."""
    session.require_sessions(state)
    member = report.ownership.member
    key = validate_evidence(report.evidence, system.GENESIS_HASH.get(state))
    accused = session.validate_ownership(state, report.ownership)
    if key != member.key or not _belongs(state, report.evidence, accused):
        raise WrongSession(f"member {member.key.hex()} of session {accused.index}, which does not answer for this")
    if any(offender.account == member.account for offender in OFFENDERS.get(state, accused.index) or ()):
        raise AlreadyPunished(f"{crypto.to_ss58(member.account)} was punished for session {accused.index}")
    return accused


def validate_evidence(evidence: Evidence, genesis_hash: bytes) -> bytes:
    """The key that contradicted itself. Raises `NoEquivocation` or `BadSignature`."""
    if isinstance(evidence, HeaderEquivocation):
        return validate_headers(evidence, genesis_hash)
    return validate_votes(evidence, genesis_hash)


def offender_of(evidence: Evidence) -> bytes:
    """The key that evidence accuses, which is not checked here."""
    if isinstance(evidence, HeaderEquivocation):
        return slot_of(evidence.first.digest).author
    return evidence.first.voter


def is_of_the_future(state: State, evidence: Evidence) -> bool:
    """Whether the session that evidence belongs to has not begun yet."""
    now = session.current(state)
    if isinstance(evidence, HeaderEquivocation):
        return session.epoch_of(state, slot_of(evidence.first.digest).slot) > now.epoch
    return evidence.first.vote.set_id > now.set_id


def session_of(state: State, evidence: Evidence) -> session.Session:
    """The session that evidence belongs to. Raises `UnknownSession` when that is forgotten."""
    for index in range(session.INDEX.get(state), session.OLDEST.get(state) - 1, -1):
        accused = session.SESSIONS.get(state, index)
        if accused is not None and _belongs(state, evidence, accused):
            return accused
    raise session.UnknownSession("the session of the offence is forgotten")


def build_inherent(report: ReportEquivocation) -> bytes:
    """The bytes of the inherent that reports an equivocation."""
    return encode(Inherent(Call(PALLET.name, "note_equivocation", encode(report))))


def validate_headers(evidence: HeaderEquivocation, genesis_hash: bytes) -> bytes:
    """The key that sealed both headers. Raises `NoEquivocation` or `BadSignature`."""
    try:
        first, second = slot_of(evidence.first.digest), slot_of(evidence.second.digest)
    except InvalidBlock as error:
        raise NoEquivocation(str(error)) from None
    messages = [seal_message(header, genesis_hash) for header in (evidence.first, evidence.second)]
    if first != second or messages[0] == messages[1]:
        raise NoEquivocation("two headers of different slots or authors, or the same header twice")
    for header, message in zip((evidence.first, evidence.second), messages, strict=True):
        seal = header.digest[-1]
        if not isinstance(seal, Seal) or not crypto.verify(first.author, seal.signature, message):
            raise BadSignature(f"header {header.number} bears no seal of {crypto.to_ss58(first.author)}")
    return first.author


def validate_votes(evidence: VoteEquivocation, genesis_hash: bytes) -> bytes:
    """The key that signed both votes. Raises `NoEquivocation` or `BadSignature`."""
    first, second = evidence.first.vote, evidence.second.vote
    same_duty = (first.stage, first.set_id, first.round) == (second.stage, second.set_id, second.round)
    if evidence.first.voter != evidence.second.voter or not same_duty or first == second:
        raise NoEquivocation("two votes of different voters, sets, rounds or stages, or the same vote twice")
    if not (verify_vote(genesis_hash, evidence.first) and verify_vote(genesis_hash, evidence.second)):
        raise BadSignature("a vote bears no signature of its voter")
    return evidence.first.voter


@PALLET.check
def check(state: State) -> None:
    """Nobody is punished twice for a session, or loses more than its weight; and only known sessions are kept."""
    for index, offenders in OFFENDERS.items(state):
        accused = session.SESSIONS.get(state, index)
        if accused is None and index >= session.OLDEST.get(state):
            raise InvariantBroken(f"there are offenders of session {index}, which has not been")
        if len({offender.account for offender in offenders}) != len(offenders):
            raise InvariantBroken(f"an account was punished twice for session {index}")
        offending = sum(offender.weight for offender in offenders)
        if accused is not None and offending > accused.total:
            raise InvariantBroken(f"more than all the stake of session {index} offended")
        for offender in offenders:
            if accused and offender.forfeit != compute_forfeit(offender.weight, offending, accused.total):
                raise InvariantBroken(f"{offender} of session {index} was not brought up to the others")
