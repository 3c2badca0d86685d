"""The chain of a simulated network: its validators, its users, and sessions short enough to see many of them."""

from __future__ import annotations

from typing import Any

from node.keystore import SeedSigner
from node.simulation_plan import Plan
from runtime.crypto import derive_seed, public_key, to_ss58
from runtime.parameters import TOKEN

USERS = 6
EPOCH_SLOTS, ERA_SESSIONS = 8, 2
"""Short, so that a run of a minute sees authority sets come and go."""


def validator_genesis(plan: Plan) -> dict[str, Any]:
    """A chain whose authorities are the plan's validators."""
    accounts = [public_key(derive_seed(f"//Validator//{index}")) for index in range(plan.count)]
    users = [public_key(derive_seed(f"//User//{index}")) for index in range(USERS)]
    return {
        "id": "simulation",
        "name": "Simulation",
        "preset": "testnet",
        "parameters": {"consensus": {"epoch_slots": EPOCH_SLOTS, "era_sessions": ERA_SESSIONS}},
        "authorities": [
            {
                "account": to_ss58(account),
                "session_key": to_ss58(session_signer(index).public),
                "stake": str(plan.stakes[index] * TOKEN),
            }
            for index, account in enumerate(accounts)
        ],
        "balances": {to_ss58(account): str(1_000_000 * TOKEN) for account in (*accounts, *users)},
    }


def session_signer(index: int) -> SeedSigner:
    """The session key of a simulated validator."""
    return SeedSigner(derive_seed(f"//Validator//{index}//session"))
