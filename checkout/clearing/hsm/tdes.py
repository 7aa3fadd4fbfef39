"""Two-key Triple DES for cryptograms and keys, by `cryptography` alone.

The emulated card computes with pyemv and shares nothing with this module.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

BLOCK = 8
_ZEROS = bytes(BLOCK)
_MAX_CIPHERS = 1 << 14
_ODD = bytes(value if value.bit_count() % 2 else value ^ 1 for value in range(256))


class _Ciphers(threading.local):
    """Ciphers by their keys. Each thread has its own, since two must not use one at once."""

    def __init__(self) -> None:
        self.by_key: dict[bytes, Callable[[bytes], bytes]] = {}


_ciphers = _Ciphers()


def odd_parity(key: bytes) -> bytes:
    """Set the lowest bit of every byte so that each byte has an odd number of ones."""
    return key.translate(_ODD)


def encryptor(key: bytes) -> Callable[[bytes], bytes]:
    """A reusable ECB encryption of whole blocks under a 16-byte key; not for several threads."""
    return Cipher(TripleDES(key + key[:BLOCK]), modes.ECB()).encryptor().update  # noqa: S305


def encrypt(key: bytes, blocks: bytes) -> bytes:
    """Encrypt whole 8-byte blocks, each by itself (ECB), under a 16-byte key."""
    return encryptor(key)(blocks)


def encrypt_often(key: bytes, blocks: bytes) -> bytes:
    """The same for a key that is used again, such as a card's: its cipher is stored for that."""
    ciphers = _ciphers.by_key
    cipher = ciphers.get(key)
    if cipher is None:
        if len(ciphers) >= _MAX_CIPHERS:
            ciphers.clear()
        cipher = ciphers[key] = encryptor(key)
    return cipher(blocks)


def decrypt(key: bytes, blocks: bytes) -> bytes:
    """Decrypt whole 8-byte blocks, each by itself (ECB), under a 16-byte key."""
    return Cipher(TripleDES(key + key[:BLOCK]), modes.ECB()).decryptor().update(blocks)  # noqa: S305


def pad_method_1(message: bytes) -> bytes:
    """Fill with zero bytes to whole blocks, none where it fits (ISO/IEC 9797-1, method 1)."""
    return message + bytes(-len(message) % BLOCK)


def pad_method_2(message: bytes) -> bytes:
    """Add 80 and zero bytes to whole blocks, always (ISO/IEC 9797-1, method 2)."""
    return message + b"\x80" + bytes(-(len(message) + 1) % BLOCK)


def mac_algorithm_3(
    key: bytes, padded: bytes, *, last_block: Callable[[bytes], bytes] | None = None
) -> bytes:
    """Eight-byte MAC of whole blocks under a 16-byte key (ISO/IEC 9797-1, MAC algorithm 3).

    Single DES under the left half chains all blocks but the last, which is encrypted under both
    halves. `last_block` is `encryptor(key)` where the caller has it already.
    """
    head, last = padded[:-BLOCK], padded[-BLOCK:]
    if head:
        left = key[:BLOCK]
        chain = Cipher(TripleDES(left + left + left), modes.CBC(_ZEROS)).encryptor()
        last = xor(chain.update(head)[-BLOCK:], last)
    return (last_block or encryptor(key))(last)


def xor(one: bytes, other: bytes) -> bytes:
    """Exclusive or of two byte strings of one length."""
    return (int.from_bytes(one) ^ int.from_bytes(other)).to_bytes(len(one))
