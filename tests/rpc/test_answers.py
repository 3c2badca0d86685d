"""Every method's answer has the shape that ``rpc.discover`` declares, on a chain with a task and a dispute.

The shapes are checked wherever a test of this folder asks a view (`tests.rpc.view.ask`); here every method is asked.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from rpc.methods import TABLE
from runtime.block import IMMORTAL, sign_extrinsic
from runtime.codec import encode
from runtime.crypto import to_ss58
from runtime.pallets import balances, system, tasks
from tests.rpc.schemas import document, require_answer
from tests.rpc.story import Story
from tests.rpc.view import ask
from tests.scenarios.market import SUBMITTER
from tests.support.chain import account, build_call, seed

UNANSWERED = {"grandpa_roundState": "nobody votes"}
"""Methods that this chain has no answer to, and what they say; another test gives them one."""


def transfer(story: Story, suri: str) -> str:
    """An extrinsic that could be in the next block."""
    call, nonce = (
        build_call(balances.Transfer(account("//Verifier1"), 5)),
        system.nonce(story.chain.state, account(suri)),
    )
    genesis = story.chain.ledger.genesis_hash
    return (
        "0x" + encode(sign_extrinsic(seed(suri), call, nonce, 0, IMMORTAL, genesis, genesis, system.SPEC_VERSION)).hex()
    )


def parameters(story: Story) -> dict[str, list[list[Any]]]:
    """Method -> parameters to ask it with; methods that are not named take none."""
    ledger, state, spec = story.chain.ledger, story.chain.state, story.record.spec
    key, head = "0x" + balances.ACCOUNTS.key(account(SUBMITTER)).hex(), "0x" + ledger.head.hex()
    programs = ["0x" + tasks.PROGRAMS.get(state, name).hex() for name in (spec.program, spec.init_program)]
    listed = story.result("explorer_extrinsics", 1)["items"][0]["hash"]
    people = [to_ss58(account(suri)) for suri in ("//Mallory", "//Verifier1", SUBMITTER, "//Nobody")]
    raw, nothing = transfer(story, SUBMITTER), "0x" + "00" * 32
    return {
        "author_hasKey": [[nothing]],
        "author_hasSessionKeys": [[nothing]],
        "author_removeExtrinsic": [[[nothing]]],
        "author_rotateKeysWithOwner": [[people[0]]],
        "author_submitAndWatchExtrinsic": [[transfer(story, "//Solver1")]],
        "author_submitExtrinsic": [[raw]],
        "chain_getBlock": [[], [head], [nothing]],
        "chain_getBlockHash": [[], [1], [[0, 1, 10**9]]],
        "chain_getHeader": [[], [nothing]],
        "disputes_get": [[0], [1]],
        "disputes_list": [[], ["challenger_won", story.task]],
        "disputes_subscribe": [[0], [1]],
        "explorer_account": [[one] for one in people],
        "explorer_accountHistory": [[one, 100] for one in people],
        "explorer_block": [[number] for number in range(ledger.head_number + 2)],
        "explorer_blocks": [[], [100]],
        "explorer_events": [[None, 100], ["disputes"]],
        "explorer_extrinsic": [[listed], [nothing]],
        "explorer_search": [["0"], [story.task[:12]], [people[0]], ["nothing"]],
        "grandpa_proveAuthorities": [[0]],
        "grandpa_proveFinality": [[1]],
        "payment_queryInfo": [[raw]],
        "proofs_get": [[story.task], [nothing]],
        "state_call": [["Core_version", "0x"]],
        "state_getKeysPaged": [["0x", 5]],
        "state_getReadProof": [[[key]]],
        "state_getStorage": [[key], ["0x00"]],
        "state_queryStorageAt": [[[key, "0x00"]]],
        "state_subscribeStorage": [[[key, "0x00"]]],
        "system_accountNextIndex": [[people[0]]],
        "system_dryRun": [[raw]],
        "tasks_estimate": [["0x" + encode(spec).hex(), *programs]],
        "tasks_get": [[story.task], [nothing]],
        "tasks_list": [[], ["settled", people[2]]],
        "tasks_program": [["0x" + spec.program.hex()], ["0x" + spec.init_program.hex()], [nothing]],
        "tasks_progress": [[story.task]],
        "tasks_subscribeTimeline": [[story.task], [nothing]],
        "tasks_timeline": [[story.task, 100]],
        "workers_earnings": [[one, 100] for one in people],
        "workers_get": [[one] for one in people],
        "workers_list": [[], ["solver"]],
    }


def test_every_method_answers_in_the_shape_that_it_declares(story: Story) -> None:
    asked = parameters(story)
    for name, method in TABLE.methods.items():
        if method.ends or method.notification:
            continue
        for params in asked.get(name, [[]]):
            answer = ask(story.view, name, *params)
            assert "result" in answer or UNANSWERED.get(name, "?") in answer["error"]["message"], (name, answer)


def test_every_subscription_notifies_in_the_shape_that_it_declares(story: Story) -> None:
    asked = parameters(story)
    for name, method in TABLE.methods.items():
        if not method.notification:
            continue
        for params in asked.get(name, [[]]):
            arguments = [kind.parse(value) for kind, value in zip(method.parameters.values(), params, strict=True)]
            results = method.handler(story.view, *arguments).poll(story.view)
            assert results, name
            for result in results:
                require_answer(name, json.loads(json.dumps(result)), notified=True)


def test_the_shapes_say_more_than_that_there_is_an_answer(story: Story) -> None:
    assert all(each["result"]["schema"] for each in document()["methods"])
    shown = story.result("disputes_get", 0)
    for name in ("claim", "moves", "levels", "leaf", "verdict", "payments"):
        with pytest.raises(jsonschema.ValidationError):
            require_answer("disputes_get", {**shown, name: "?"})
    with pytest.raises(jsonschema.ValidationError):
        require_answer("disputes_get", {**shown, "more": 1})


def test_the_document_refers_to_nothing_that_it_does_not_hold() -> None:
    held = set(document()["components"]["schemas"])
    text = json.dumps(document())
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= held
    assert held <= named
    for schema in document()["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)
