"""Seeds for athena: derived by hashing, and never the same twice where it would spoil a sample."""

from __future__ import annotations

import hashlib

__all__ = ["GENERATION_SEEDS", "generation_seed", "job_seed"]

GENERATION_SEEDS = 30081**2
"""MadGraph takes seeds below it."""

_HALF_BITS = 15
_ROUNDS = 6


def _hash(*words: object) -> int:
    text = "\0".join(map(str, words)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def generation_seed(seed: int, run_number: int, batch: int) -> int:
    """Give the seed of a batch: another one for each batch of a sample.

    Hashes alone would meet now and then among a thousand millions of seeds. So the batches are
    permuted: by a Feistel network of SHA-256 on 30 bits, walked on until the result is below
    `GENERATION_SEEDS` (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).

    Parameters
    ----------
    seed : int
        Of the campaign.
    run_number, batch : int
        `batch` from 0 to below `GENERATION_SEEDS`.
    """
    mask = (1 << _HALF_BITS) - 1
    value = batch
    while True:
        left, right = value >> _HALF_BITS, value & mask
        for number in range(_ROUNDS):
            mixed = _hash("athena generation", seed, run_number, number, right)
            left, right = right, left ^ (mixed & mask)
        value = left << _HALF_BITS | right
        if value < GENERATION_SEEDS:
            return value


def job_seed(seed: int, run_number: int, first_event: int, step: str) -> int:
    """Give the seed of a step of a job: 31 bits."""
    return _hash("athena job", seed, run_number, first_event, step) >> 33
