"""A market in memory: a chain with short deadlines, workers with bonds, and a task that can be driven to any status.

The pallets do not compute, so roots are made up. Everybody's wealth is watched: issuance never changes.
"""

from __future__ import annotations

from functools import cache
from struct import pack, unpack
from typing import Any

from runtime.codec import encode, replace
from runtime.pallet import Context
from runtime.pallets import balances, jackpot, proofs, tasks, workers
from runtime.trees import hash_tagged
from runtime.vm.check import CheckedProgram, check_program
from runtime.vm.job import DataSource, Field
from runtime.vm.program import Input, Named, Node, Program
from tests.support.chain import TestChain, account

TOKEN = 10**9
SUBMITTER = "//Submitter"
SOLVERS = [f"//Solver{number}" for number in range(8)]
VERIFIERS = [f"//Verifier{number}" for number in range(6)]
WHISTLEBLOWERS = ["//Whistleblower0", "//Whistleblower1"]
PEOPLE = [SUBMITTER, *SOLVERS, *VERIFIERS, *WHISTLEBLOWERS]
NAMES = {account(suri): suri for suri in PEOPLE}
BOND = 100 * TOKEN

SHORT = {
    "unbonding_blocks": 6,
    "minimum_training_blocks": 3,
    "acceptance_blocks": 4,
    "audit_acceptance_blocks": 4,
    "verdict_blocks": 4,
    "dispute_opening_blocks": 4,
    "challenge_blocks": 4,
    "reveal_blocks": 4,
    "pool_blocks": 12,
    "verifier_search_blocks": 6,
    "maximum_attempts": 3,
}
"""Market parameters that keep tests short."""


def bits(number: float) -> int:
    return int(unpack("<I", pack("<f", number))[0])


@cache
def training_program(width: int = 4, batch: int = 2) -> Program:
    """w <- w - column sums of x, times lr: the smallest thing that reads state, batch and scalars."""
    inputs = (
        Input("state", "w", "f32", (width,)),
        Input("batch", "x", "f32", (batch, width)),
        Input("scalar", "lr", "f32", ()),
    )
    nodes = (Node("col_sum", (), (1,)), Node("mul", (), (3, 2)), Node("sub", (), (0, 4)))
    return Program(1, inputs, nodes, (Named("w", 5),), ())


@cache
def init_program(width: int = 4) -> Program:
    nodes = (Node("uniform", (bits(-1.0), bits(1.0), width), (0,)),)
    return Program(1, (Input("key", "key", "u32", (2,)),), nodes, (Named("w", 1),), ())


@cache
def checked(program: Program) -> CheckedProgram:
    return check_program(program)


DATA = DataSource(bytes([7]) * 32, 100, (Field("x", "f32", (4,)),), bytes([8]) * 32, 2)
SPEC = tasks.TaskSpec(
    salt=bytes(32),
    program=checked(training_program()).root,
    init_program=checked(init_program()).root,
    seed=5,
    data=DATA,
    data_blob=bytes([9]) * 32,
    scalar_names=("lr",),
    scalars_root=bytes([10]) * 32,
    scalars_blob=bytes([10]) * 32,
    scalar_rows=1000,
    steps=1000,
    checkpoint_interval=300,
    mode="exact",
    audits=2,
    verifiers=2,
    price_limit=1_000_000,
    training_blocks=5,
)
"""Four training segments, the last one shorter, and the initialisation."""


def submission(spec: tasks.TaskSpec = SPEC) -> tasks.Submit:
    return tasks.Submit(encode(spec), encode(training_program()), encode(init_program()))


def secret_of(verifier: str) -> bytes:
    return hash_tagged(b"test:secret", verifier.encode())


def forcing_of(verifier: str) -> bytes:
    return hash_tagged(b"test:forcing", verifier.encode())


FALSE, SALT = b"f" * 32, b"s" * 32


class Market(TestChain):
    """A chain with workers. Mutable: each step drives it by a few blocks."""

    __test__ = False

    def __init__(self, solvers: int = 2, verifiers: int = 3, spec: tasks.TaskSpec = SPEC, **changes: Any) -> None:
        self.issuance = 0
        self.spec = spec
        self.task = tasks.task_id(spec)
        parameters = {"market": {**SHORT, **changes}, **self.other_parameters()}
        super().__init__(balances=dict.fromkeys(PEOPLE, 1_000 * TOKEN), parameters=parameters)
        self.issuance = balances.ISSUANCE.get(self.state)
        self.author(*[(suri, workers.Register("solver", BOND, 400_000, 8)) for suri in SOLVERS[:solvers]])
        self.author(*[(suri, workers.Register("verifier", BOND, 400_000, 8)) for suri in VERIFIERS[:verifiers]])

    def other_parameters(self) -> dict[str, dict[str, Any]]:
        """Parameters of other groups, for tests that build on the market."""
        return {}

    def finish_block(self, ctx: Context, author: str = "//Alice") -> Any:
        receipts = super().finish_block(ctx, author)
        assert not self.issuance or balances.ISSUANCE.get(self.state) == self.issuance, "issuance changed"
        return receipts

    # --- reading

    @property
    def record(self) -> tasks.Task:
        return tasks.require_task(self.state, self.task)

    @property
    def board(self) -> proofs.Board:
        board = proofs.AUDITS.get(self.state, self.task)
        assert board is not None
        return board

    @property
    def solver(self) -> str:
        return NAMES[self.record.solver]

    def auditors(self, *statuses: str) -> list[str]:
        """Verifiers of the board, those in some statuses or all."""
        audits = self.board.audits
        return [NAMES[audit.verifier] for audit in audits if not statuses or audit.status in statuses]

    def audit(self, verifier: str) -> proofs.Audit:
        place = proofs.find_audit(self.board, account(verifier))
        assert place is not None
        return self.board.audits[place]

    def worker(self, suri: str) -> workers.Worker:
        role = "solver" if suri in SOLVERS else "verifier"
        return workers.require_worker(self.state, account(suri), role)

    def owned(self, suri: str) -> int:
        """Everything an account has, held or free."""
        units = balances.account(self.state, account(suri))
        return units.free + units.held

    def segments(self, verifier: str) -> tuple[int, ...]:
        return proofs.audit_segments(self.spec, self.audit(verifier), secret_of(verifier))

    # --- driving

    def until(self, status: str, blocks: int = 60) -> list[Any]:
        """Empty blocks until the task has that status; returns the events of the last one."""
        for _ in range(blocks):
            if self.record.status == status:
                return self.events()
            self.expose_all()
            self.skip(1)
        raise AssertionError(f"the task is still {self.record.status}, not {status}")

    def to_pooled(self) -> Market:
        self.submit(SUBMITTER, submission(self.spec))
        return self

    def to_assigned(self) -> Market:
        if not tasks.TASKS.contains(self.state, self.task):
            self.to_pooled()
        self.until("assigned")
        return self

    def to_training(self) -> Market:
        self.to_assigned()
        self.submit(self.solver, tasks.Accept(self.task))
        return self

    def checkpoints(self, mark: int = 0) -> tuple[bytes, ...]:
        return tuple(bytes([mark, number]) * 16 for number in range(tasks.segment_count(self.spec)))

    def to_proved(self) -> Market:
        self.to_training()
        self.submit(self.solver, proofs.RegisterProof(self.task, self.checkpoints(), bytes([11]) * 32))
        return self

    def to_auditing(self) -> Market:
        self.to_proved()
        self.until("auditing")
        return self

    def accept_audit(self, verifier: str) -> None:
        commitment = proofs.draw_commitment(secret_of(verifier), account(verifier), self.task)
        forcing = proofs.forcing_commitment(forcing_of(verifier), account(verifier), self.task)
        self.submit(verifier, proofs.AcceptAudit(self.task, commitment, forcing))

    def to_opened(self) -> Market:
        self.to_auditing()
        for verifier in self.auditors("drawn"):
            self.accept_audit(verifier)
        self.skip(1)
        return self

    def give_verdict(self, verifier: str, *failed: int) -> None:
        """A fail, or a pass with the witness that the beacon demands."""
        self.submit(verifier, self.verdict(verifier, *failed))
        if not failed:
            self.skip(1)
            self.submit(verifier, self.witness_to_open(verifier))

    def verdict(self, verifier: str, *failed: int) -> proofs.SubmitVerdict:
        return proofs.SubmitVerdict(self.task, secret_of(verifier), failed, () if failed else self.seals(verifier))

    def roots(self, verifier: str) -> tuple[bytes, ...]:
        """Made-up states at the inner steps of the verifier's segments."""
        count = len(proofs.witnessed_steps(self.spec, self.segments(verifier)))
        return tuple(hash_tagged(b"test:root", bytes([number])) for number in range(count))

    def true_witness(self, verifier: str) -> bytes:
        return proofs.witness_root(account(verifier), self.roots(verifier))

    def seals(self, verifier: str) -> tuple[bytes, ...]:
        both = (self.true_witness(verifier), FALSE)
        return tuple(sorted(proofs.witness_seal(one, SALT, account(verifier), self.task) for one in both))

    def is_forced(self, verifier: str) -> bool:
        rarity = workers.parameters(self.state).forced_rarity
        return proofs.is_forced(forcing_of(verifier), self.audit(verifier).decider, rarity)

    def witness_to_open(self, verifier: str) -> proofs.OpenWitness:
        shown = FALSE if self.is_forced(verifier) else self.true_witness(verifier)
        return proofs.OpenWitness(self.task, shown, SALT)

    def exposure(self, verifier: str) -> jackpot.Expose:
        other = FALSE if self.audit(verifier).witness != FALSE else self.true_witness(verifier)
        return jackpot.Expose(self.task, forcing_of(verifier), other, SALT, self.roots(verifier))

    def expose_all(self) -> None:
        """Every verifier that owes it opens its forcing secret."""
        found = tasks.TASKS.get(self.state, self.task)
        board = proofs.AUDITS.get(self.state, self.task)
        if found is None or board is None or board.phase != "revealing":
            return
        rounds = [
            jackpot.ROUNDS.get(self.state, jackpot.RoundKey(self.task, board.attempt, place))
            for place in range(len(board.audits))
        ]
        owing = [
            NAMES[audit.verifier]
            for audit, one in zip(board.audits, rounds, strict=True)
            if audit.status == "passed" and not audit.proven and not (one and one.exposed)
        ]
        if owing:
            self.author(*[(verifier, self.exposure(verifier)) for verifier in owing])

    def to_window(self) -> Market:
        self.to_opened()
        verifiers = self.auditors("opened")
        self.author(*[(verifier, self.verdict(verifier)) for verifier in verifiers])
        while self.auditors("sealed"):
            self.skip(1)
        self.author(*[(verifier, self.witness_to_open(verifier)) for verifier in verifiers])
        assert self.board.phase == "window"
        return self

    def to_exposed(self) -> Market:
        """The window is over, and every verifier has opened its secret: the next block goes on."""
        while self.board.phase == "window":
            self.skip(1)
        self.expose_all()
        return self

    def to_settled(self) -> Market:
        self.to_window()
        self.until("settled")
        return self


def with_salt(number: int, spec: tasks.TaskSpec = SPEC, **changes: Any) -> tasks.TaskSpec:
    """Another spec."""
    return replace(spec, salt=bytes([number]) * 32, **changes)
