"""The order in which a job takes its samples: a keyed permutation per epoch, computable one index at a time.

The permutation is swap-or-not (Hoang, Morris and Rogaway, "An enciphering scheme based on a card shuffle", CRYPTO
2012) with `SHUFFLE_ROUNDS` rounds over blake2b. In each round an index and its mirror image about a secret pivot
either both swap places or both stay, on the toss of one hash bit.
"""

from __future__ import annotations

from functools import lru_cache

from runtime.trees import hash_tagged
from runtime.vm.job import SHUFFLE_ROUNDS, DataSource

_TAG = b"solvent:shuffle"


def epoch_key(order_seed: bytes, epoch: int) -> bytes:
    """The permutation key of one epoch."""
    return hash_tagged(b"solvent:epoch", order_seed + epoch.to_bytes(16, "little"))


def sample_at(position: int, count: int, key: bytes) -> int:
    """The sample at ``position`` of an epoch over ``count`` samples; a permutation of range(count) for every key."""
    if not 0 <= position < count:
        raise ValueError(f"position {position} of an epoch of {count} samples")
    index = position
    for shuffle_round in range(SHUFFLE_ROUNDS):
        mirror = (_pivot(key, shuffle_round, count) - index) % count
        # Both partners must read the same coin, so it is tossed for the larger of the two.
        larger = max(index, mirror)
        if _coins(key, shuffle_round, larger >> 8) >> (larger & 255) & 1:
            index = mirror
    return index


def sample_index(data: DataSource, position: int) -> int:
    """The sample at a position of the whole job: position = step * batch_size + row."""
    epoch, within = divmod(position, data.sample_count)
    return sample_at(within, data.sample_count, epoch_key(data.order_seed, epoch))


@lru_cache(maxsize=256)
def _pivot(key: bytes, shuffle_round: int, count: int) -> int:
    return int.from_bytes(hash_tagged(_TAG, key + bytes([shuffle_round])), "little") % count


@lru_cache(maxsize=16384)
def _coins(key: bytes, shuffle_round: int, block: int) -> int:
    """256 coins for the indices of one block, as the bits of an integer."""
    return int.from_bytes(hash_tagged(_TAG, key + bytes([shuffle_round]) + block.to_bytes(8, "little")), "little")
