"""RSA keys for cards: generation, and the private operation by the Chinese remainder theorem.

The cryptography library generates the keys, but has no private operation without PKCS padding,
which EMV needs (EMV Book 2, Annex B2.1). So the operation is computed here by two modular powers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaKey:
    """A private RSA key; `size` is the length of the modulus in bytes."""

    n: int
    e: int
    p: int
    q: int
    dp: int
    dq: int
    q_inverse: int

    @property
    def size(self) -> int:
        return (self.n.bit_length() + 7) // 8

    @property
    def modulus(self) -> bytes:
        return self.n.to_bytes(self.size, "big")

    @property
    def exponent(self) -> bytes:
        return self.e.to_bytes((self.e.bit_length() + 7) // 8, "big")

    def sign(self, block: bytes) -> bytes:
        """The private operation on a block of `size` bytes (EMV Book 2, Annex B2.1.2).

        Raises ValueError when the block has another length than the modulus.
        """
        if len(block) != self.size:
            raise ValueError(f"block: expected {self.size} bytes, got {len(block)}")
        message = int.from_bytes(block, "big")
        from_p = pow(message, self.dp, self.p)
        from_q = pow(message, self.dq, self.q)
        signature = from_q + self.q * ((from_p - from_q) * self.q_inverse % self.p)
        return signature.to_bytes(self.size, "big")

    def as_json(self) -> dict[str, str]:
        return {name: f"{getattr(self, name):x}" for name in _FIELDS}

    def __repr__(self) -> str:
        return f"RsaKey({self.size * 8} bits)"


_FIELDS = ("n", "e", "p", "q", "dp", "dq", "q_inverse")


def generate(bits: int, exponent: int = 3) -> RsaKey:
    """A new key of `bits` bits with public exponent 3 or 65537 (EMV Book 2, Annex B2.1)."""
    numbers = rsa.generate_private_key(public_exponent=exponent, key_size=bits).private_numbers()
    return from_primes(numbers.p, numbers.q, exponent)


def from_primes(p: int, q: int, exponent: int) -> RsaKey:
    """The key with these primes and this public exponent."""
    d = pow(exponent, -1, (p - 1) * (q - 1))
    return RsaKey(
        n=p * q, e=exponent, p=p, q=q, dp=d % (p - 1), dq=d % (q - 1), q_inverse=pow(q, -1, p)
    )


def from_json(fields: Mapping[str, str]) -> RsaKey:
    """The key from `RsaKey.as_json`; raises KeyError or ValueError for anything else."""
    return RsaKey(**{name: int(fields[name], 16) for name in _FIELDS})
