"""A second check of an emulated card's answers: plain powers, hashlib and `cryptography`.

Written for these tests from EMV Books 2 and 3; nothing of the terminal's kernel and nothing of the
card's own code is used, so neither side's mistakes can hide here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

CARD_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")


class Wrong(Exception):
    """What did not fit, in a word."""


def parse(encoded: bytes) -> list[tuple[str, bytes]]:
    """BER-TLV objects of one level, in order."""
    found, at = [], 0
    while at < len(encoded):
        start = at
        if encoded[at] & 0x1F == 0x1F:
            at += 1
            while encoded[at] & 0x80:
                at += 1
        at += 1
        tag = encoded[start:at].hex().upper()
        count = encoded[at]
        at += 1
        if count & 0x80:
            more = count & 0x7F
            count = int.from_bytes(encoded[at : at + more], "big")
            at += more
        assert at + count <= len(encoded), f"{tag} runs over its template"
        found.append((tag, encoded[at : at + count]))
        at += count
    return found


def flat(encoded: bytes) -> dict[str, bytes]:
    """All primitive objects, templates opened."""
    found: dict[str, bytes] = {}
    for tag, value in parse(encoded):
        if int(tag[:2], 16) & 0x20:
            found |= flat(value)
        else:
            found[tag] = value
    return found


def des3(key: bytes, block: bytes, *, decrypt: bool = False) -> bytes:
    """TDES in ECB mode with an 8-, 16- or 24-byte key."""
    whole = {8: key * 3, 16: key + key[:8], 24: key}[len(key)]
    cipher = Cipher(TripleDES(whole), modes.ECB())
    step = cipher.decryptor() if decrypt else cipher.encryptor()
    return step.update(block)


def odd_parity(key: bytes) -> bytes:
    return bytes(b if b.bit_count() % 2 else b ^ 1 for b in key)


def common_session_key(key: bytes, diversifier: bytes) -> bytes:
    one = diversifier[:2] + b"\xf0" + diversifier[3:]
    two = diversifier[:2] + b"\x0f" + diversifier[3:]
    return odd_parity(des3(key, one) + des3(key, two))


def retail_mac(key: bytes, message: bytes, *, method: int) -> bytes:
    """ISO/IEC 9797-1 algorithm 3 with padding method 1 or 2."""
    if method == 2:
        message += b"\x80"
    message += bytes(-len(message) % 8)
    state = bytes(8)
    for at in range(0, len(message), 8):
        block = bytes(a ^ b for a, b in zip(state, message[at : at + 8], strict=True))
        state = des3(key[:8], block)
    return des3(key[:8], des3(key[8:], state, decrypt=True))


@dataclass
class Tap:
    """What a terminal sends and gathers in one tap, by hand."""

    amount: int = 1280
    currency: str = "0156"
    country: str = "0156"
    ttq: str = "26804080"
    kind: str = "00"
    date: str = "260115"
    un: bytes = bytes.fromhex("11223344")
    tvr: str = "0000000000"
    objects: dict[str, bytes] = field(default_factory=dict)
    static: bytes = b""
    gpo_values: bytes = b""
    cdol_values: bytes = b""
    answer: bytes = b""

    def pdol(self) -> bytes:
        return (
            bytes.fromhex(
                f"{self.ttq}{self.amount:012d}{0:012d}{self.country}{self.tvr}{self.currency}"
                f"{self.date}{self.kind}"
            )
            + self.un
        )

    def cdol1(self, terminal_type: str = "22") -> bytes:
        return (
            bytes.fromhex(
                f"{self.amount:012d}{0:012d}{self.country}{self.tvr}{self.currency}"
                f"{self.date}{self.kind}"
            )
            + self.un
            + bytes.fromhex(f"{terminal_type}0000{'00' * 8}1F0302")
        )

    def signed_values(self) -> bytes:
        """The terminal's part of the cryptogram's input, then AIP and ATC."""
        body = bytes.fromhex(
            f"{self.amount:012d}{0:012d}{self.country}{self.tvr}{self.currency}"
            f"{self.date}{self.kind}"
        )
        return body + self.un + self.objects["82"] + self.objects["9F36"]


def send(card, command: str | bytes) -> tuple[bytes, str]:
    """Response data and status word in hex."""
    response = card.process(bytes.fromhex(command) if isinstance(command, str) else command)
    return response[:-2], response[-2:].hex().upper()


def select(card, aid: str) -> dict[str, bytes]:
    body, status = send(card, f"00A40400{len(aid) // 2:02X}{aid}00")
    assert status == "9000", status
    return flat(body)


def gpo_command(values: bytes) -> bytes:
    return bytes((0x80, 0xA8, 0, 0, len(values) + 2, 0x83, len(values))) + values + b"\x00"


def read_afl(card, tap: Tap) -> None:
    """Read what the AFL lists, and gather the static data to be authenticated."""
    afl = tap.objects.get("94", b"")
    for at in range(0, len(afl), 4):
        sfi, first, last, signed = afl[at] >> 3, *afl[at + 1 : at + 4]
        for number in range(first, last + 1):
            body, status = send(card, bytes((0x00, 0xB2, number, sfi << 3 | 4, 0)))
            assert status == "9000", status
            ((tag, content),) = parse(body)
            assert tag == "70"
            if number - first < signed:
                tap.static += content
            tap.objects |= flat(body)


def quick_tap(card, aid: str, tap: Tap | None = None) -> Tap:
    """PPSE, SELECT, GPO and records of a qPBOC or qVSDC card."""
    tap = tap or Tap()
    body, status = send(card, "00A404000E325041592E5359532E444446303100")
    assert status == "9000", status
    assert flat(body)["4F"].hex().upper() == aid
    tap.objects |= select(card, aid)
    tap.gpo_values = tap.pdol()
    tap.answer, status = send(card, gpo_command(tap.gpo_values))
    assert status == "9000", status
    ((tag, _),) = parse(tap.answer)
    assert tag == "77"
    tap.objects |= flat(tap.answer)
    read_afl(card, tap)
    return tap


def chip_tap(card, aid: str, tap: Tap | None = None, *, p1: int = 0x90) -> Tap:
    """SELECT, GPO, records and the first GENERATE AC of an M/Chip card."""
    tap = tap or Tap()
    tap.objects |= select(card, aid)
    body, status = send(card, "80A8000002830000")
    assert status == "9000", status
    tap.objects |= flat(body)
    read_afl(card, tap)
    tap.cdol_values = tap.cdol1()
    command = bytes((0x80, 0xAE, p1, 0, len(tap.cdol_values))) + tap.cdol_values + b"\x00"
    tap.answer, status = send(card, command)
    assert status == "9000", status
    tap.objects |= flat(tap.answer)
    return tap


def recover(n: int, e: int, signature: bytes, hashed_after: bytes, form: int) -> bytes:
    """Open a signature: header, format, hash and trailer checked; the body without them."""
    size = (n.bit_length() + 7) // 8
    if len(signature) != size:
        raise Wrong("length")
    opened = pow(int.from_bytes(signature, "big"), e, n).to_bytes(size, "big")
    if opened[0] != 0x6A or opened[-1] != 0xBC:
        raise Wrong("frame")
    if opened[1] != form:
        raise Wrong("format")
    if hashlib.sha1(opened[1:-21] + hashed_after).digest() != opened[-21:-1]:
        raise Wrong("hash")
    return opened[2:-21]


def recover_issuer(objects: dict[str, bytes], ca: dict[str, str], pan: str) -> tuple[int, int]:
    after = objects.get("92", b"") + objects["9F32"]
    body = recover(int(ca["modulus"], 16), int(ca["exponent"], 16), objects["90"], after, 2)
    if not pan.startswith(body[:4].hex().rstrip("f")):
        raise Wrong("issuer identifier")
    return _key(body[9:], objects, "92", "9F32", body[11])


def recover_icc(objects: dict[str, bytes], ca: dict[str, str], static: bytes) -> tuple[int, int]:
    pan = objects["5A"].hex().rstrip("f")
    n, e = recover_issuer(objects, ca, pan)
    tail = objects["82"] if objects.get("9F4A") == b"\x82" else b""
    after = objects.get("9F48", b"") + objects["9F47"] + static + tail
    body = recover(n, e, objects["9F46"], after, 4)
    if body[:10].hex().rstrip("f") != pan:
        raise Wrong("account number")
    return _key(body[15:], objects, "9F48", "9F47", body[17])


def _key(
    fields: bytes, objects: dict[str, bytes], remainder: str, exponent: str, size: int
) -> tuple[int, int]:
    """`fields` starts at the hash algorithm indicator."""
    assert fields[0] == 1 and fields[1] == 1, "SHA-1 and RSA"
    assert fields[3] == len(objects[exponent])
    inside = fields[4:]
    rest = objects.get(remainder, b"")
    modulus = inside[: size - len(rest)] + rest
    if set(inside[size - len(rest) :]) - {0xBB}:
        raise Wrong("padding")
    assert len(modulus) == size
    return int.from_bytes(modulus, "big"), int.from_bytes(objects[exponent], "big")


def check_fdda(tap: Tap, ca: dict[str, str]) -> bytes:
    """Verify the whole chain up to 9F4B; the ICC dynamic number."""
    n, e = recover_icc(tap.objects, ca, tap.static)
    covered = tap.un
    if "9F69" in tap.objects:
        covered += bytes.fromhex(f"{tap.amount:012d}{tap.currency}") + tap.objects["9F69"]
    visa = ca["rid"] == "A000000003"  # current Visa cards sign fDDA in a format of their own
    body = recover(n, e, tap.objects["9F4B"], covered, 0x95 if visa else 0x05)
    assert body[0] == 1, "SHA-1"
    return body[2 : 2 + body[1]]


def check_cda(tap: Tap, ca: dict[str, str]) -> tuple[int, bytes]:
    """Verify CDA of the last GENERATE AC; the cryptogram's kind and the cryptogram."""
    n, e = recover_icc(tap.objects, ca, tap.static)
    body = recover(n, e, tap.objects["9F4B"], tap.un, 5)
    dynamic = body[2 : 2 + body[1]]
    count = dynamic[0]
    kind, cryptogram = dynamic[1 + count], dynamic[2 + count : 10 + count]
    answered = b"".join(
        bytes.fromhex(tag) + _length(value) + value
        for tag, value in parse(parse(tap.answer)[0][1])
        if tag != "9F4B"
    )
    transaction = hashlib.sha1(tap.gpo_values + tap.cdol_values + answered).digest()
    if dynamic[10 + count :] != transaction:
        raise Wrong("transaction hash")
    if kind != tap.objects["9F27"][0]:
        raise Wrong("kind")
    return kind, cryptogram


def _length(value: bytes) -> bytes:
    return bytes((len(value),)) if len(value) < 128 else bytes((0x81, len(value)))
