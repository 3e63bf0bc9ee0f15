"""The noise contract (docs/noise.md) in float64, written a second time and independently of the library.

Every function works on Python integers and on int64 tensors alike: a 64-bit product that wraps keeps its low 64 bits,
and the mask after the arithmetic shift keeps the right 32 of them.
"""

from __future__ import annotations

import math

MASK = 0xFFFFFFFF
ROUNDS = 10
VLLM_SCALE = 4.6566127342e-10


class PythonMath:
    """Float64 functions of Python numbers; `oracle.TorchMath` is the same for tensors."""

    real = staticmethod(float)
    log = staticmethod(math.log)
    log1p = staticmethod(math.log1p)


def philox2x32(counter0, counter1, key):
    """Ten rounds of philox2x32; returns two words."""
    for _ in range(ROUNDS):
        product = counter0 * 0xD256D193
        counter0, counter1 = ((product >> 32) & MASK) ^ key ^ counter1, product & MASK
        key = (key + 0x9E3779B9) & MASK
    return counter0, counter1


def philox4x32(counter, key):
    """Ten rounds of philox4x32; `counter` has four words, `key` two; returns four words."""
    word0, word1, word2, word3 = counter
    key0, key1 = key
    for _ in range(ROUNDS):
        product0 = word0 * 0xD2511F53
        product1 = word2 * 0xCD9E8D57
        word0, word1, word2, word3 = (
            ((product1 >> 32) & MASK) ^ word1 ^ key0,
            product1 & MASK,
            ((product0 >> 32) & MASK) ^ word3 ^ key1,
            product0 & MASK,
        )
        key0 = (key0 + 0x9E3779B9) & MASK
        key1 = (key1 + 0xBB67AE85) & MASK
    return word0, word1, word2, word3


def row_key(seed, position, draw_index):
    """Two words that a row and a draw contribute; scheme `vllm` uses the first only."""
    counter = (position & MASK, (position >> 32) & MASK, draw_index, draw_index * 0)
    words = philox4x32(counter, (seed & MASK, (seed >> 32) & MASK))
    return words[0], words[1]


def token_bits(scheme, key, token_id):
    """32 random bits of a token."""
    if scheme == "vllm":
        zero = token_id * 0
        return philox4x32((token_id, zero, zero, zero), (key[0], key[0] * 0))[0]
    pair = ((token_id >> 4) << 3) | (token_id & 7)
    low, high = philox2x32(pair, key[0], key[1])
    upper = (token_id >> 3) & 1
    return low * (1 - upper) + high * upper


def gumbel(scheme, bits, functions=PythonMath):
    """Gumbel noise of 32 random bits, float64."""
    if scheme == "vllm":
        # The magnitude of the bits as a signed integer: -x - 1 for negative x.
        magnitude = bits ^ (MASK * (bits >> 31))
        uniform = functions.real(magnitude + (magnitude == 0)) * VLLM_SCALE
    else:
        uniform = (functions.real(bits) + 0.5) * 2.0**-32
    return -functions.log(-functions.log1p(-uniform))
