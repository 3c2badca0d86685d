"""The shapes of all answers as typed dictionaries. The views are checked against them by mypy, and `rpc.schemas` makes
the JSON schemas of ``rpc.discover`` and the tables of ``docs/rpc.md`` of them: an answer is described in one place."""
