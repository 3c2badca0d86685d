"""The one exception tree of Solvent's protocol. Each branch says who is at fault and what happens next.

::

    SolventError
    ├── CodecError            these bytes are not the canonical encoding of the type asked for
    ├── ProgramError          this graph program is malformed; it is refused before anything is paid
    ├── InvalidBlock          reject the block, and score whoever sent it
    ├── InvalidExtrinsic      not includable: the block author skips it, a block that holds it is invalid
    ├── DispatchError         included and charged: the fee is kept, every write of the call is undone
    └── VmHalt                a party's bytes or operands are impossible: that party loses the dispute

Every error carries the values that explain it in its message, and says what a person can do about it.
"""

from __future__ import annotations


class SolventError(Exception):
    """Base of every error that the protocol defines."""


class CodecError(SolventError):
    """The bytes are not the canonical encoding of a value of the expected type."""


class ProgramError(SolventError):
    """A graph program breaks a rule of ``runtime.vm.program``; the message names the node and the rule."""


class InvalidBlock(SolventError):
    """The block breaks a consensus rule and is rejected whole."""


class InvalidExtrinsic(SolventError):
    """The extrinsic cannot be included in a block. ``code`` names the reason for programs.

    Codes: ``malformed``, ``bad_signature``, ``stale_nonce``, ``future_nonce``, ``expired``, ``unaffordable``,
    ``too_long``, ``too_heavy``, ``unknown_call``, ``inherent``, ``block_full`` (it fits into a later block).
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DispatchError(SolventError):
    """The call failed after its fee was taken: its writes are undone. ``pallet`` and ``code`` name the reason.

    A pallet declares its errors as subclasses, with ``pallet`` and ``code`` as class attributes.
    """

    pallet = "system"
    code = "Other"


class VmHalt(SolventError):
    """The interpreter met code, registers or operands that no honest party can produce."""
