"""Worst cases of every call and hook, each with the name of its entry in the table; moves are in `weight_disputes`."""

from __future__ import annotations

from collections.abc import Iterator

from bench import fat_task as fat
from bench.weighing import FINALIZED, NUMBER, Action, Case, World, account, call, give_held
from bench.weight_disputes import moves
from runtime.block import IMMORTAL, Call, sign_extrinsic
from runtime.codec import encode, replace
from runtime.crypto import public_key
from runtime.executive import apply_extrinsic
from runtime.pallet import Context
from runtime.pallets import balances, disputes, proofs, system, tasks, timestamp, workers
from runtime.pallets.disputes.lines import join
from runtime.pallets.tasks.programs import CACHE
from runtime.pallets.tasks.storage import TURNS, Turn
from runtime.pallets.workers.storage import MAXIMUM_CHUNKS
from runtime.parameters import TOKEN
from runtime.state import State
from runtime.trees import hash_tagged
from runtime.vm.program import Node

LONG_REMARK = 64 * 1024
SMALL_NODES, LARGE_NODES = 100, 2_000

PADDINGS = {
    "neg": None,
    "add": Node("add", (), (1, 1)),
    "exp": Node("exp", (), (1,)),
    "matmul": Node("matmul", (0, 1), (1, 1)),
    "reshape": Node("reshape", (1, 1, 1, 1, 1, 1, 1, 1), (1,)),
    "fill": Node("fill", (0,), ()),
}
"""What large programs are filled with: the costliest to check, for each of its bytes, counts."""


# --- extrinsics as such


def signed(number: int, data: bytes) -> bytes:
    """A signed remark of an account that the world knows (see `put_signers`)."""
    seed = hash_tagged(b"bench:signer", bytes([number]))
    remark = Call("system", "remark", encode(system.Remark(data)))
    return encode(sign_extrinsic(seed, remark, 7, 1, IMMORTAL, bytes(32), bytes(32), system.SPEC_VERSION))


def put_signers(world: World) -> None:
    for number in range(2):
        who = public_key(hash_tagged(b"bench:signer", bytes([number])))
        world.write(lambda state, who=who: give_held(state, who, 10**6 * TOKEN, {}))  # type: ignore[misc]
        world.write(lambda state, who=who: system.NONCES.put(state, who, 7))  # type: ignore[misc]


def extrinsics(world: World) -> Iterator[Case]:
    """``extrinsic.empty`` and ``extrinsic.long``: whole extrinsics with nothing to do, the second with 64 KiB."""
    put_signers(world)
    for number, (name, data) in enumerate((("extrinsic.empty", b""), ("extrinsic.long", b"r" * LONG_REMARK))):
        raw = signed(number, data)
        yield Case(name, lambda ctx, raw=raw: apply_extrinsic(ctx, raw))  # type: ignore[misc]


# --- system, timestamp, balances


def simple(world: World) -> Iterator[Case]:
    rich, poor, fresh = account(10), account(11), hash_tagged(b"bench:fresh", b"")
    yield Case("system.remark", call(rich, system.Remark(b"r")))
    world.write(lambda state: timestamp.NOW.put(state, 1))
    yield Case("timestamp.set", lambda ctx: timestamp.set(ctx, timestamp.Set(10**12)))
    amount = 10**6 * TOKEN - 1
    yield Case("balances.transfer", call(rich, balances.Transfer(fresh, amount)))
    yield Case("balances.transfer_keep_alive", call(rich, balances.TransferKeepAlive(fresh, TOKEN)))
    yield Case("balances.transfer_all", call(poor, balances.TransferAll(fresh, False)))


# --- workers


def market_workers(world: World) -> Iterator[Case]:
    """Rosters one short of full, workers with 64 jobs, sixteen withdrawals waiting."""
    novice, busy, leaving, gone = (account(number) for number in range(20, 24))
    chunks = tuple(workers.Chunk(TOKEN, number) for number in range(1, MAXIMUM_CHUNKS + 1))
    world.write(fat.fill_rosters)

    def prepare(state: object) -> None:
        fat.put_worker(state, busy, "solver", fat.other_jobs(64))  # type: ignore[arg-type]
        fat.put_worker(state, leaving, "solver")  # type: ignore[arg-type]
        fat.put_worker(state, gone, "solver", bond=0)  # type: ignore[arg-type]

    world.write(prepare)
    world.write(lambda state: workers.UNBONDING.put(state, (leaving, "solver"), chunks[1:]))
    world.write(lambda state: workers.UNBONDING.put(state, (gone, "solver"), chunks))
    held = {workers.bond_reason("solver"): 16 * TOKEN}
    world.write(lambda state: give_held(state, gone, TOKEN, held))
    members = (*(account(fat.FIRST_OTHER + number) for number in range(fat.ROSTER_SIZE - 2)), leaving)
    yield Case("workers.register", call(novice, workers.Register("solver", fat.BOND, 1, 64)))
    world.write(lambda state: workers.ROSTER.put(state, "solver", members))
    yield Case("workers.set_ask", call(busy, workers.SetAsk("solver", 2, 64)))
    yield Case("workers.bond_more", call(busy, workers.BondMore("solver", TOKEN)))
    yield Case("workers.unbond", call(leaving, workers.Unbond("solver", fat.BOND)))
    yield Case("workers.withdraw", call(gone, workers.Withdraw("solver")))


# --- tasks


def market_tasks(world: World) -> Iterator[Case]:
    """A task with long names and a long past. ``tasks.submit.*`` are the same submission with larger programs."""
    world.write(lambda state: give_held(state, account(30), 10**9 * TOKEN, {}))
    small = fat.wide_program(SMALL_NODES)
    yield Case("tasks.submit", call(account(30), fat.submission(small, 9)), CACHE.clear)
    for name, padding in PADDINGS.items():
        large = fat.wide_program(LARGE_NODES, padding)
        yield Case(f"tasks.submit.{name}", call(account(30), fat.submission(large, 9)), CACHE.clear)
    names = dict[str, bytes]()
    for salt, status in enumerate(("assigned", "training", "pooled"), 1):
        world.write(lambda state, salt=salt, status=status: names.update(  # type: ignore[misc]
            {status: fat.put_task(state, small, status, salt)}))  # fmt: skip
    yield Case("tasks.accept", call(fat.SOLVER, tasks.Accept(names["assigned"])))
    yield Case("tasks.heartbeat", call(fat.SOLVER, tasks.Heartbeat(names["training"], 5, 7)))
    yield Case("tasks.cancel", call(fat.SUBMITTER, tasks.Cancel(names["assigned"])))
    yield Case("tasks.deadline", due_turn(names["assigned"]))
    yield Case("tasks.deadline.draw", due_turn(names["pooled"]))


def due_turn(name: bytes) -> Action:
    """The hook of the tasks pallet with one task due."""

    def run(ctx: Context) -> None:
        TURNS.cursor.put(ctx.state, type(TURNS.cursor.default)(ctx.finalized, 0))
        TURNS.schedule(ctx.state, ctx.finalized, Turn(name, 1))
        tasks.process_turns(ctx)
        assert tasks.require_task(ctx.state, name).turn > 1

    return run


# --- proofs


def market_proofs(world: World) -> Iterator[Case]:
    """Boards with 64 audits of 64 segments each, proofs with 1,024 checkpoints."""
    small = fat.wide_program(SMALL_NODES)
    for name, segments in (("proofs.register", 64), ("proofs.register.long", fat.SEGMENTS)):
        found = list[bytes]()
        world.write(lambda state, segments=segments, found=found: found.append(  # type: ignore[misc]
            fat.put_task(state, small, "training", 100 + segments, segments)))  # fmt: skip
        roots = tuple(hash_tagged(b"bench:root", number.to_bytes(4, "big")) for number in range(segments + 1))
        yield Case(name, call(fat.SOLVER, proofs.RegisterProof(found[0], roots, fat.MANIFEST)))
    audited = board_of(world, 50, "auditing", ("passed",) * 7 + ("drawn",))
    last = fat.verifier(fat.BOARD - 1)
    commitment = proofs.draw_commitment(fat.SECRET, last, audited)
    yield Case("proofs.accept_audit", call(last, proofs.AcceptAudit(audited, commitment, bytes(32))))
    opened = board_of(world, 51, "auditing", ("passed",) * 7 + ("opened",))
    verdict = proofs.SubmitVerdict(opened, fat.SECRET, (), (fat.WITNESS, fat.OTHER))
    yield Case("proofs.submit_verdict", call(last, verdict))
    called = board_of(world, 55, "auditing", ("passed",) * 7 + ("called",))
    yield Case("proofs.open_witness", call(last, proofs.OpenWitness(called, fat.WITNESS, fat.SECRET)))
    window = board_of(world, 52, "window", ("passed",) * 8)
    yield Case("proofs.deadline", due_appointment(window, "window"))
    silent = board_of(world, 53, "auditing", ("passed",) * 7 + ("opened",))
    yield Case("proofs.deadline.silent", due_appointment(silent, "opened"))
    searching = board_of(world, 54, "searching", ())
    yield Case("proofs.deadline.draw", due_appointment(searching, "searching"))


def board_of(world: World, salt: int, phase: str, statuses: tuple[str, ...]) -> bytes:
    """A task under audit with that board."""
    found = list[bytes]()
    program = fat.wide_program(SMALL_NODES)
    world.write(lambda state: found.append(fat.put_task(state, program, "auditing", salt)))
    world.write(lambda state: fat.put_board(state, found[0], phase, statuses))
    return found[0]


def due_appointment(name: bytes, status: str) -> Action:
    """The hook of the proofs pallet with one appointment due."""

    def run(ctx: Context) -> None:
        queue = proofs.APPOINTMENTS
        board = proofs.AUDITS.get(ctx.state, name)
        assert board is not None
        audits = tuple(one if one.status != status else _overdue(one) for one in board.audits)
        kept = audits[:56] if status == "searching" else audits
        changed = type(board)(1, board.phase, kept, NUMBER - 10, board.searched, min(board.window, FINALIZED), 0, 0)
        proofs.AUDITS.put(ctx.state, name, changed)
        place = NUMBER - 10 if status == "searching" else fat.BOARD - 1
        queue.cursor.put(ctx.state, type(queue.cursor.default)(ctx.finalized, 0))
        queue.schedule(ctx.state, ctx.finalized, proofs.Appointment(name, 1, place, status))
        before = len(ctx.events)
        proofs.process_appointments(ctx)
        assert len(ctx.events) > before, f"nothing happened to an audit that is {status}"

    return run


def _overdue(audit: proofs.Audit) -> proofs.Audit:
    fields = {name: getattr(audit, name) for name in audit.__struct_fields__}
    return proofs.Audit(**{**fields, "deadline": FINALIZED})


def opening(world: World) -> Iterator[Case]:
    """A dispute about a task that has sixty-four others open."""
    name = board_of(world, 60, "window", ("passed",) * 8)
    for number in range(10**6, 10**6 + 64):
        world.write(lambda state, number=number: join(state, name, 1, number))  # type: ignore[misc]
    committed = disputes.commitment_of(name, 5, fat.SECRET, fat.CHALLENGER)
    yield Case("disputes.commit", call(fat.CHALLENGER, disputes.Commit(name, committed)))
    failing = board_of(world, 61, "auditing", ("passed",) * 7 + ("failed",))
    yield Case("disputes.open", call(fat.verifier(fat.BOARD - 1), disputes.Open(failing, 1)))

    def prepare(state: State) -> None:
        board = proofs.AUDITS.get(state, name)
        assert board is not None
        proofs.AUDITS.put(state, name, replace(board, commitments=1))
        made = disputes.Commitment(name, 1, fat.CHALLENGER, committed, TOKEN, FINALIZED - 1, FINALIZED + 9)
        disputes.COMMITMENTS.put(state, 7, made)
        give_held(state, fat.CHALLENGER, 10**6 * TOKEN, {disputes.commitment_reason(7): TOKEN})

    world.write(prepare)
    yield Case("disputes.reveal", call(fat.CHALLENGER, disputes.Reveal(7, 5, fat.SECRET)))


def all_cases(world: World) -> Iterator[Case]:
    """Each group prepares the world when its turn comes."""
    for group in (extrinsics, simple, market_workers, market_tasks, market_proofs, opening, moves):
        yield from group(world)
