"""Answers checked against what ``rpc.discover`` says of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jsonschema

from rpc.methods import TABLE
from rpc.openrpc import build_document


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    return build_document(TABLE, "test")


@lru_cache(maxsize=200)
def _validator(method: str, notified: bool) -> jsonschema.Draft7Validator:
    [described] = [each for each in document()["methods"] if each["name"] == method]
    schema = described["x-notification"]["result"] if notified else described["result"]["schema"]
    return jsonschema.Draft7Validator({**schema, "components": document()["components"]})


def require_answer(method: str, result: Any, notified: bool = False) -> None:
    """Fail unless a result, or a notification's, is of the shape that the method declares."""
    _validator(method, notified).validate(result)
