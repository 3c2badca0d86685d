"""What can be wrong with a request for a blob.

::

    BlobError
    |-- BlobMismatch          the bytes do not hash to the name they were given
    |-- BlobQuotaExceeded     no room, by the account's or the store's capacity
    |-- BlobDiskFull          the disk has no room left, whatever the quotas say
    |-- BlobOffsetMismatch    a resumed upload that does not continue where the stored part ends
    |-- BlobBusy              another request is uploading the same blob, or too many are being fetched
    |-- BlobMissing           neither this node nor a peer of it holds the blob
    `-- BlobUnavailable       a peer holds it, but its bytes stopped coming; what came is kept for the next try
"""

from __future__ import annotations

from runtime.errors import SolventError


class BlobError(SolventError):
    """Base of what can be wrong with a blob request."""


class BlobMismatch(BlobError):
    """The bytes do not hash to the name they were given."""


class BlobQuotaExceeded(BlobError):
    """The account's or the store's capacity does not allow this upload."""


class BlobDiskFull(BlobError):
    """The disk of the store takes no more; what arrived is kept, and the upload may continue when there is room."""


class BlobOffsetMismatch(BlobError):
    """A resumed upload does not continue where the stored part ends; ``offset`` says where it does."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


class BlobBusy(BlobError):
    """Another request is uploading the same blob right now, or as many blobs as allowed are being fetched."""


class BlobMissing(BlobError):
    """Nobody whom this node can ask holds the blob."""


class BlobUnavailable(BlobError):
    """Peers hold the blob, but none of them goes on sending it."""
