"""The most awkward task that the chain accepts: every bounded part of its records near the bound.

Long names in the spec, 1,024 segments, 64 audits on the board, hundreds of reviewers, full rosters, workers with 64
jobs. Weights are measured on it.
"""

from __future__ import annotations

from functools import cache
from struct import pack

from bench.weighing import FINALIZED, NUMBER, account, give_held
from ml.dispute.reference import Inputs
from runtime.codec import encode, replace
from runtime.commitments import state_tree, tensor_root
from runtime.market_parameters import MarketParameters
from runtime.pallets import proofs, system, tasks, workers
from runtime.parameters import TOKEN
from runtime.state import State
from runtime.trees import hash_tagged
from runtime.vm.check import CheckedProgram, check_program
from runtime.vm.job import DataSource, Field, Job
from runtime.vm.program import Input, Named, Node, Program

SUBMITTER, SOLVER, CHALLENGER = account(1), account(2), account(3)
FIRST_REVIEWER, FIRST_VERIFIER, FIRST_OTHER = 100, 1_000, 2_000
ROSTER_SIZE = 1_024
COLUMNS = 600
"""Terms of the longest sums of the program."""
INTERVAL, SEGMENTS = 3, 1_023
BOND = 100_000 * TOKEN
LOCK = 1_000 * TOKEN
BOARD = 64
SECRET, MANIFEST = hash_tagged(b"bench:secret", b""), hash_tagged(b"bench:manifest", b"")
WITNESS, OTHER = bytes([1]) * 32, bytes([2]) * 32
ONE, MINUS_ONE, SCALE = 0x3F800000, 0xBF800000, 0x3A800000


@cache
def wide_program(nodes: int, padding: Node | None = None) -> Program:
    """A step over one row of weights that goes through long sums, and ``nodes`` more nodes that all reach the state."""
    inputs = (Input("state", "w", "f32", (1, COLUMNS)),)
    body = [
        Node("matmul", (0, 1), (0, 0)),  # value 1: f32[1, 1]
        Node("log_softmax", (), (0,)),  # values 2, 3, 4: maximum, log total, f32[1, COLUMNS]
        Node("fill", (SCALE, 1, 1), ()),  # value 5: keeps the numbers small
        Node("mul", (), (1, 5)),  # value 6: f32[1, 1]
        Node("sub", (), (4, 6)),  # value 7: f32[1, COLUMNS]
    ]
    last = 6
    for number in range(nodes):
        body.append(padding or Node("neg", (), (last,)))
        last = last if padding else 8 + number
    body += [Node("sub", (), (7, last)), Node("mul", (), (8 + nodes, 5))]
    return Program(1, inputs, tuple(body), (Named("w", 9 + nodes),), ())


@cache
def init_program() -> Program:
    key = (Input("key", "key", "u32", (2,)),)
    return Program(1, key, (Node("uniform", (MINUS_ONE, ONE, 1, COLUMNS), (0,)),), (Named("w", 1),), ())


@cache
def checked(program: Program) -> CheckedProgram:
    return check_program(program)


def fat_source() -> DataSource:
    """As many fields as there may be, with names as long as they may be."""
    fields = tuple(Field(f"{number:02}" + "x" * 254, "f32", (1,) * 8) for number in range(64))
    return DataSource(hash_tagged(b"bench:data", b""), 60_000, fields, bytes(32), 64)


def fat_spec(program: Program, salt: int = 0, segments: int = SEGMENTS) -> tasks.TaskSpec:
    return tasks.TaskSpec(
        salt=salt.to_bytes(32, "big"),
        program=checked(program).root,
        init_program=checked(init_program()).root,
        seed=5,
        data=fat_source(),
        data_blob=bytes(32),
        scalar_names=tuple(f"{number:02}" + "y" * 254 for number in range(64)),
        scalars_root=tensor_root(b""),
        scalars_blob=bytes(32),
        scalar_rows=INTERVAL * segments,
        steps=INTERVAL * segments,
        checkpoint_interval=INTERVAL,
        mode="exact",
        audits=min(64, segments),
        verifiers=8,
        price_limit=1,
        training_blocks=50_000,
    )


def submission(program: Program, salt: int = 0) -> tasks.Submit:
    return tasks.Submit(encode(fat_spec(program, salt)), encode(program), encode(init_program()))


def weights_bytes() -> bytes:
    """The start state: numbers with full mantissas, none of which vanishes in a sum."""
    return pack(f"<{COLUMNS}f", *[((k * 7919) % 997 - 498) / 173 for k in range(COLUMNS)])


def fat_job(program: Program) -> tuple[Job, Inputs]:
    """The first training segment of the task, and what it reads."""
    data = weights_bytes()
    start = state_tree([("w", "f32", (1, COLUMNS), tensor_root(data))]).root
    job = replace(tasks.segment_job(fat_spec(program), (bytes(32), bytes(32)), 1), start=start)
    return job, Inputs({"w": data}, (), b"")


# --- records on chain


def verifier(number: int) -> bytes:
    return account(FIRST_VERIFIER + number)


def put_worker(state: State, who: bytes, role: str, jobs: tuple[bytes, ...] = (), bond: int = BOND) -> None:
    """A worker whose bond backs those jobs."""
    for job in jobs:
        workers.LOCKS.put(state, (who, job), workers.Lock(role, LOCK))
    locked = LOCK * len(jobs)
    record = workers.Worker(who, role, 1, 64, bond, locked, 1, jobs, 1, 0, 0)
    workers.WORKERS.put(state, (who, role), record)
    give_held(state, who, BOND, {workers.bond_reason(role): bond})


def other_jobs(count: int) -> tuple[bytes, ...]:
    return tuple(hash_tagged(b"bench:job", bytes([number])) for number in range(count))


def fill_rosters(state: State, size: int = ROSTER_SIZE - 1) -> None:
    """Rosters one short of full; their workers hold many jobs and could take one more."""
    for role, first in ((workers.SOLVER, FIRST_OTHER), (workers.VERIFIER, FIRST_OTHER + ROSTER_SIZE)):
        members = tuple(account(first + number) for number in range(size))
        workers.ROSTER.put(state, role, members)
        for who in members:
            workers.WORKERS.put(
                state, (who, role), workers.Worker(who, role, 1, 64, BOND, 63 * LOCK, 1, other_jobs(63), 0, 0, 0)
            )


def fat_task(spec: tasks.TaskSpec, status: str, program: Program, market: MarketParameters) -> tasks.Task:
    """A task with a long past: earlier attempts, their reviewers, and every payment and slash of them."""
    figures = tasks.estimate(spec, checked(program), checked(init_program()), market)
    reviewers = tuple(account(FIRST_REVIEWER + number) for number in range(5 * BOARD))
    past = tuple(tasks.Payment(reviewer, "audit_repaid", 10**9) for reviewer in reviewers)
    return tasks.Task(
        submitter=SUBMITTER,
        spec=spec,
        estimate=replace(figures, solver_lock=LOCK, verifier_lock=LOCK),
        status=status,
        attempt=1,
        turn=1,
        solver=b"" if status == "pooled" else SOLVER,
        price=0 if status == "pooled" else 1,
        since=NUMBER - 10,
        pooled=FINALIZED - 100,
        deadline=FINALIZED + 10_000,
        excluded=reviewers[:4],
        reviewers=reviewers,
        escrow=figures.escrow,
        final_root=b"",
        payments=past[:100],
        slashes=past,
    )


def put_task(state: State, program: Program, status: str, salt: int = 0, segments: int = SEGMENTS) -> bytes:
    """Store a task of that status with its programs, escrow and solver; returns its id."""
    spec = fat_spec(program, salt, segments)
    task = fat_task(spec, status, program, system.parameters(state).market)
    name = tasks.task_id(spec)
    tasks.TASKS.put(state, name, task)
    tasks.PROGRAMS.put(state, spec.program, encode(program))
    tasks.PROGRAMS.put(state, spec.init_program, encode(init_program()))
    give_held(state, SUBMITTER, BOND, {tasks.escrow_reason(name): task.escrow})
    if task.solver:
        solver = workers.WORKERS.get(state, (SOLVER, workers.SOLVER))
        jobs = solver.jobs if solver else other_jobs(40)
        put_worker(state, SOLVER, workers.SOLVER, (*jobs, name))
    return name


def put_board(state: State, name: bytes, phase: str, statuses: tuple[str, ...]) -> None:
    """Store a proof of the task and a full board: these statuses last, replaced audits before them."""
    spec = tasks.require_task(state, name).spec
    roots = tuple(hash_tagged(b"bench:root", bytes([number % 256])) for number in range(tasks.segment_count(spec)))
    proofs.PROOFS.put(state, name, proofs.Proof(name, 1, SOLVER, roots, MANIFEST, NUMBER - 50))
    padded = ("replaced",) * (BOARD - len(statuses)) + statuses
    audits = tuple(_audit(name, number, status) for number, status in enumerate(padded))
    for audit in audits:
        if audit.status != "replaced":
            put_worker(state, audit.verifier, workers.VERIFIER, (*other_jobs(40), name))
    window = FINALIZED + 100 if phase == "window" else 0
    proofs.AUDITS.put(state, name, proofs.Board(1, phase, audits, NUMBER - 10, FINALIZED - 50, window, 0, 0))


def _audit(name: bytes, number: int, status: str) -> proofs.Audit:
    who = verifier(number)
    commitment = proofs.draw_commitment(SECRET, who, name)
    drawn = status in ("passed", "failed", "replaced", "called")
    segments = tuple(range(65)) if drawn else ()
    failed = (1,) if status == "failed" else ()
    deadline = 0 if status in ("passed", "replaced") else FINALIZED + 100
    return proofs.Audit(
        verifier=who,
        status=status,
        commitment=commitment,
        accepted=NUMBER - 20,
        beacon=bytes(32),
        secret=SECRET if drawn else b"",
        segments=segments,
        failed=failed,
        gas=1,
        deadline=deadline,
        forcing=proofs.forcing_commitment(SECRET, who, name),
        seals=tuple(sorted(proofs.witness_seal(one, SECRET, who, name) for one in (WITNESS, OTHER))),
        sealed=NUMBER - 15,
        decider=bytes(32),
        witness=WITNESS if status == "passed" else b"",
        jackpot=0,
        proven=status == "passed",
    )
