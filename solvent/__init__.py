"""The Python SDK: `solvent.client.Client` speaks JSON-RPC to a node, signs, waits, moves blobs and verifies proofs."""

from solvent.client import Client, Outcome, Submitted

__all__ = ["Client", "Outcome", "Submitted"]
