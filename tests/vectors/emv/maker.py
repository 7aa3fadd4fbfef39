"""Makes this project's own EMV vectors from the keys in `keys.toml`, byte for byte the same.

Run it by `python -m tests.vectors.emv.maker`. It is written from EMV Books 1 to 3 with plain powers
and hashlib, and uses no code of the terminal's kernel nor of the emulated card: the vectors judge
both. RSA signatures in EMV take no random bytes, so the same keys give the same files.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
#: ISO/IEC 7812 numbers begin with 9 and a country's code here; no country has the code 998.
UNIONPAY_PAN = "9998274819056314"
MASTERCARD_PAN = "9998530071246889"
VISA_AID = "A0000000031010"
QUICK_PDOL = "9F66049F02069F03069F1A0295055F2A029A039C019F3704"
CDOL1 = "9F02069F03069F1A0295055F2A029A039C019F37049F35019F45029F4C089F3403"
CDOL2 = "910A8A0295059F37049F4C08"


@dataclass(frozen=True)
class Key:
    """An RSA key pair from its primes."""

    p: int
    q: int
    e: int

    @property
    def size(self) -> int:
        return ((self.p * self.q).bit_length() + 7) // 8

    @property
    def modulus(self) -> bytes:
        return (self.p * self.q).to_bytes(self.size, "big")

    @property
    def exponent(self) -> bytes:
        return self.e.to_bytes((self.e.bit_length() + 7) // 8, "big")

    def sign(self, body: bytes, hashed: bytes) -> bytes:
        """Book 2, Annex A2.1: 6A, the body, the hash of `hashed`, BC, under the private key."""
        block = b"\x6a" + body + hashlib.sha1(hashed, usedforsecurity=False).digest() + b"\xbc"
        assert len(block) == self.size
        private = pow(self.e, -1, (self.p - 1) * (self.q - 1))
        return pow(int.from_bytes(block, "big"), private, self.p * self.q).to_bytes(
            self.size, "big"
        )


def keys(scheme: str) -> dict[str, Key]:
    """The CA's, the issuer's and the card's key pair of a scheme."""
    table = tomllib.loads((FOLDER / "keys.toml").read_text("utf-8"))[scheme]
    return {
        owner: Key(p=int(table[owner]["p"], 16), q=int(table[owner]["q"], 16), e=table[owner]["e"])
        for owner in ("ca", "issuer", "icc")
    }


def tlv(tag: str, *values: str | bytes) -> bytes:
    """One data object; values are bytes or hex."""
    body = b"".join(v if isinstance(v, bytes) else bytes.fromhex(v) for v in values)
    length = bytes((len(body),)) if len(body) < 0x80 else bytes((0x81, len(body)))
    assert len(body) < 0x100
    return bytes.fromhex(tag) + length + body


def certificate(signer: Key, head: bytes, key: Key, static: bytes) -> tuple[bytes, bytes]:
    """A key's certificate and the remainder of its modulus (Book 2, 5.1 and 6.1).

    `head` is what stands before the algorithm indicators, format byte included.
    """
    body = head + bytes((0x01, 0x01, key.size, len(key.exponent)))
    room = signer.size - 22 - len(body)
    body += key.modulus[:room].ljust(room, b"\xbb")
    remainder = key.modulus[room:]
    return signer.sign(body, body + remainder + key.exponent + static), remainder


def issuer_certificate(key: dict[str, Key], pan: str, mmyy: str) -> tuple[bytes, bytes]:
    head = b"\x02" + bytes.fromhex(pan[:6] + "FF" + mmyy + "000042")
    return certificate(key["ca"], head, key["issuer"], b"")


def icc_certificate(key: dict[str, Key], pan: str, mmyy: str, static: bytes) -> tuple[bytes, bytes]:
    head = b"\x04" + bytes.fromhex(pan.ljust(20, "F") + mmyy + "000007")
    return certificate(key["issuer"], head, key["icc"], static)


def unionpay_card() -> str:
    """The personalisation of a UnionPay (qPBOC) card: files and keys, no transaction."""
    key, pan, aip = keys("unionpay"), UNIONPAY_PAN, "7C00"
    signed = tlv("5A", pan) + tlv("5F24", "301231") + tlv("5F25", "240101") + tlv("9F08", "0030")
    issuer, issuer_rest = issuer_certificate(key, pan, "1230")
    icc, icc_rest = icc_certificate(key, pan, "1230", signed + bytes.fromhex(aip))
    aid, label = "A000000333010101", b"UNIONPAY CREDIT".hex()
    entry = tlv("61", tlv("4F", aid), tlv("50", label), tlv("87", "01"))
    proprietary = tlv("A5", tlv("50", label), tlv("87", "01"), tlv("9F38", QUICK_PDOL))
    records = {
        "1.1": tlv("57", f"{pan}D30122200000000000"),
        "2.1": tlv("90", issuer) + tlv("9F32", key["issuer"].exponent) + tlv("92", issuer_rest)
        + tlv("8F", "E7"),
        "2.2": tlv("9F46", icc) + tlv("9F47", key["icc"].exponent) + tlv("9F48", icc_rest)
        + tlv("9F49", "9F3704") + tlv("9F4A", "82"),
        "3.1": signed,
        "3.2": tlv("5F34", "01") + tlv("5F28", "0156") + tlv("9F07", "FFC0")
        + tlv("5F20", b"VECTOR/OWN CARD") + tlv("9F1F", b"0102030405060708"),
    }  # fmt: skip
    lines = {
        "pan": pan,
        "label": "UNIONPAY CREDIT",
        "ppse": tlv("6F", tlv("84", b"2PAY.SYS.DDF01"), tlv("A5", tlv("BF0C", entry))),
        "fci": tlv("6F", tlv("84", aid), proprietary),
        "aip": aip,
        "afl": "1001020018010201",
        "card_key": "1A2B3C4D5E6F70819283A4B5C6D7E8F9",
        "icc_p": f"{key['icc'].p:X}",
        "icc_q": f"{key['icc'].q:X}",
    }
    text = [
        "# A UnionPay test card of this project's own: made by maker.py from keys.toml.",
        "# Nobody issued it: its number begins with 9998, which ISO/IEC 7812 gives to nobody.",
        *(f'{name} = "{_text(value)}"' for name, value in lines.items()),
        f"icc_exponent = {key['icc'].e}",
        "",
        "[ca_key]",
        'rid = "A000000333"',
        'index = "E7"',
        f'modulus = "{_text(key["ca"].modulus)}"',
        f'exponent = "{_text(key["ca"].exponent)}"',
        "",
        "[records]",
        *(f'"{place}" = "{_text(tlv("70", body))}"' for place, body in records.items()),
    ]
    return "\n".join(text) + "\n"


def mastercard_tap() -> str:
    """A whole Mastercard tap from SELECT on, approved offline by a TC with its CDA signature."""
    key, pan, aip, number = keys("mastercard"), MASTERCARD_PAN, "5980", "C0FFEE42"
    signed = b"".join((
        tlv("57", f"{pan}D21122010000012345"), tlv("5A", pan), tlv("5F20", b"VECTOR/OWN CARD"),
        tlv("5F24", "211231"), tlv("5F25", "180101"), tlv("5F28", "0156"), tlv("5F34", "01"),
        tlv("8C", CDOL1), tlv("8D", CDOL2), tlv("8E", "00000000000000005E031F03"),
        tlv("9F07", "FF00"), tlv("9F08", "0002"), tlv("9F0D", "0000000000"),
        tlv("9F0E", "0000000000"), tlv("9F0F", "0000000000"), tlv("9F42", "0156"),
        tlv("9F4A", "82"),
    ))  # fmt: skip
    issuer, issuer_rest = issuer_certificate(key, pan, "1221")
    icc, icc_rest = icc_certificate(key, pan, "1221", signed + bytes.fromhex(aip))
    assert not issuer_rest
    chain = tlv("8F", "E8") + tlv("9F47", key["icc"].exponent)
    chain += tlv("9F32", key["issuer"].exponent) + tlv("9F48", icc_rest)
    cdol_values = bytes.fromhex(
        "000000001280" "000000000000" "0156" "0000000000" "0156" "190520" "00" + number + "22"
        "0000" "0000000000000000" "5E0300"
    )  # fmt: skip
    answer = tlv("9F27", "40") + tlv("9F36", "0042")
    issuer_data = tlv("9F10", "0110A50003020000000000000000000000FF")
    # Book 2, 6.6.1: PDOL values (none), CDOL1 values, and the answer's objects without 9F4B.
    transaction = hashlib.sha1(cdol_values + answer + issuer_data, usedforsecurity=False).digest()
    dynamic = bytes.fromhex("080102030405060708" "40" "F0E1D2C3B4A59687") + transaction  # fmt: skip
    body = b"\x05\x01" + bytes((len(dynamic),)) + dynamic
    body += b"\xbb" * (key["icc"].size - 22 - len(body))
    signature = tlv("9F4B", key["icc"].sign(body, body + bytes.fromhex(number)))
    aid = "A0000000041010"
    fci = tlv("6F", tlv("84", aid), tlv("A5", tlv("50", b"MASTERCARD"), tlv("87", "01")))
    afl = "08010100100101011801020020010200"
    exchanges = [
        (f"00A4040007{aid}00", fci),
        ("80A8000002830000", tlv("77", tlv("82", aip), tlv("94", afl))),
        ("00B2011400", tlv("70", signed)),
        ("00B2011C00", tlv("70", tlv("90", issuer))),
        ("00B2012400", tlv("70", chain)),
        ("00B2022400", tlv("70", tlv("9F46", icc))),
        (f"80AE5000{len(cdol_values):02X}{_text(cdol_values)}00",
         tlv("77", answer, signature, issuer_data)),
    ]  # fmt: skip
    comments = [
        "A Mastercard tap of this project's own: made by maker.py from keys.toml.",
        "Nobody issued the card: its number begins with 9998, which ISO/IEC 7812 gives to nobody.",
        f"CA public key A000000004 index E8: exponent 03, modulus {_text(key['ca'].modulus)}",
    ]
    return _transcript(comments, exchanges)


def visa_status(sw1: int) -> str:
    """A Visa SELECT answered with 61xx or 6Cxx as contact cards do (EMV Book 1, Annex A)."""
    fci = tlv("6F", tlv("84", VISA_AID), tlv("A5", tlv("50", b"VISA"), tlv("87", "01")))
    first = bytes((sw1, len(fci)))
    select = "00A4040005A000000003"
    later = f"00C00000{len(fci):02X}" if sw1 == 0x61 else f"{select}{len(fci):02X}"
    lines = [
        f"# A card that answers SELECT with {sw1:02X}xx: made by maker.py.",
        f"> {select}00",
        f"< {_text(first)}",
        f"> {later}",
        f"< {_text(fci)}9000",
    ]
    return "\n".join(lines) + "\n"


def _transcript(comments: list[str], exchanges: list[tuple[str, bytes]]) -> str:
    lines = [f"# {comment}" for comment in comments]
    for command, answer in exchanges:
        lines += [f"> {command}", f"< {_text(answer)}9000"]
    return "\n".join(lines) + "\n"


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.hex().upper()


def files() -> dict[str, str]:
    """Every file of this maker by its name."""
    return {
        "unionpay-card.toml": unionpay_card(),
        "mastercard-cda.apdu": mastercard_tap(),
        "visa-status-61.apdu": visa_status(0x61),
        "visa-status-6c.apdu": visa_status(0x6C),
    }


if __name__ == "__main__":
    for name, content in files().items():
        (FOLDER / name).write_text(content, "utf-8")
