"""What a task costs, known before anything is paid: gas, fees, locks and times, from the spec and its programs alone.

Gas is thousands of scalar operations, rounded up once for each job. The *solver fee* pays the initialisation and all
training steps at the price limit; each verifier's fee pays the most that its draw of segments can cost. The treasury's
share comes on top, and so do the *jackpot fee*, for the pot that pays whistleblowers, and the *listing fee*, which the
treasury keeps where the task expires or is cancelled. The escrow is their sum: whatever is not needed goes back.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.codec import U63, Record
from runtime.market_parameters import MarketParameters, parts_of
from runtime.pallets.tasks.spec import SpecError, TaskSpec, segment_count, segment_steps
from runtime.pallets.tasks.stakes import solver_stake
from runtime.vm.check import CheckedProgram
from runtime.vm.gas import GasNode, GasTree, gas_entries, gas_units, step_time

MAXIMUM_AMOUNT = 2**63 - 1
MAXIMUM_BLOCKS = 2**40
"""Longest time for a verdict: far beyond any use, and far below what a height can hold."""


class Estimate(Record):
    """The price of a task at its limit, part by part, in units; gas in thousands of scalar operations.

    ``program_gas`` and ``init_gas`` are the Merkle-sum roots over the nodes of each program, whose sums are the scalar
    operations of one step. ``audit_gas`` and ``verifier_fee`` are the most for one verifier. ``training_blocks`` is the
    shortest training deadline that the spec may set.
    """

    program_gas: GasNode
    init_gas: GasNode
    gas: U63
    audit_gas: U63
    solver_fee: U63
    verifier_fee: U63
    treasury_fee: U63
    jackpot_fee: U63
    listing_fee: U63
    escrow: U63
    solver_lock: U63
    verifier_lock: U63
    training_blocks: U63
    verdict_blocks: U63
    challenge_blocks: U63


def segment_gas(spec: TaskSpec, program_operations: int, init_operations: int, segment: int) -> int:
    """Gas of replaying one segment; the operations are those of one step of each program."""
    if segment == 0:
        return gas_units(init_operations)
    return gas_units(program_operations * segment_steps(spec, segment))


def replayed_gas(spec: TaskSpec, estimate: Estimate, segments: Sequence[int]) -> int:
    """Gas of replaying several segments."""
    operations = estimate.program_gas.gas, estimate.init_gas.gas
    return sum(segment_gas(spec, *operations, segment) for segment in segments)


def minimum_training_blocks(
    spec: TaskSpec, program: CheckedProgram, init: CheckedProgram, parameters: MarketParameters
) -> int:
    """The shortest training deadline that leaves a slow solver the time it needs."""
    time = gas_units(step_time(init) + step_time(program) * spec.steps)
    return parameters.minimum_training_blocks + -(-time // parameters.training_gas_per_block)


def estimate(spec: TaskSpec, program: CheckedProgram, init: CheckedProgram, parameters: MarketParameters) -> Estimate:
    """Price a task whose spec and programs were validated. Raises `SpecError` where a figure leaves 63 bits, or where
    the deadline leaves too little time to train."""
    program_gas, init_gas = GasTree(gas_entries(program)).root, GasTree(gas_entries(init)).root
    initialising, longest = gas_units(init_gas.gas), segment_gas(spec, program_gas.gas, init_gas.gas, 1)
    gas = initialising + gas_units(program_gas.gas * spec.steps)
    audit_gas = initialising + spec.audits * longest
    solver_fee, verifier_fee = gas * spec.price_limit, audit_gas * spec.price_limit
    fees = solver_fee + spec.verifiers * verifier_fee
    treasury_fee = parts_of(fees, parameters.treasury_share)
    drawn = (segment_count(spec) - 1, spec.audits, spec.verifiers)
    solver_lock = solver_stake(solver_fee, fees, *drawn, parameters)
    verifier_lock = parts_of(verifier_fee, parameters.verifier_lock)
    first, later = gas_units(step_time(init)), gas_units(step_time(program) * segment_steps(spec, 1))
    verdict_blocks = parameters.verdict_blocks + (first + spec.audits * later) // parameters.gas_per_block
    challenge_blocks = parameters.challenge_blocks + max(first, later) // parameters.gas_per_block
    training_blocks = minimum_training_blocks(spec, program, init, parameters)
    jackpot_fee = spec.verifiers * parts_of(verifier_fee, parameters.jackpot_share)
    escrow = fees + treasury_fee + jackpot_fee + parameters.listing_fee
    if gas == 0:
        raise SpecError("the programs compute nothing: there is nothing to pay for")
    if max(escrow, solver_lock, verifier_lock) > MAXIMUM_AMOUNT:
        raise SpecError(f"{gas} units of gas at up to {spec.price_limit} cost more units than can exist")
    if verdict_blocks > MAXIMUM_BLOCKS:
        raise SpecError(f"an audit would take {verdict_blocks} blocks, more than {MAXIMUM_BLOCKS}")
    if training_blocks > spec.training_blocks:
        raise SpecError(f"{spec.training_blocks} training blocks: so much work needs at least {training_blocks}")
    return Estimate(
        program_gas=program_gas,
        init_gas=init_gas,
        gas=gas,
        audit_gas=audit_gas,
        solver_fee=solver_fee,
        verifier_fee=verifier_fee,
        treasury_fee=treasury_fee,
        jackpot_fee=jackpot_fee,
        listing_fee=parameters.listing_fee,
        escrow=escrow,
        solver_lock=solver_lock,
        verifier_lock=verifier_lock,
        training_blocks=training_blocks,
        verdict_blocks=verdict_blocks,
        challenge_blocks=challenge_blocks,
    )
