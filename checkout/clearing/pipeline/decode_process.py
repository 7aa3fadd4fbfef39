"""The process that decodes a busy switch's messages and verifies their cryptograms in advance.

Both depend on the message and the issuers' keys alone. So the switch loses nothing where a result
comes late or not at all: it then does the work itself. `decode_ahead.py` starts this process.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from checkout.clearing.hsm.cryptogram import chip_proof
from checkout.clearing.hsm.decoded_proof import DecodedProof, decoded_proof
from checkout.clearing.hsm.icc_data import IccError
from checkout.clearing.hsm.keystore import KeyStore, KeyStoreError
from checkout.clearing.iso8583.codec import CodecError, Fields, unpack
from checkout.clearing.iso8583.field_map import question_of
from checkout.clearing.messages import AuthorizationRequest
from checkout.clearing.scheme.participants import Scheme
from checkout.clearing.store.worker_process import receive, run_worker, send

#: So many messages are answered at once: the switch can take the first while the rest is decoded.
MESSAGES_A_REPLY = 4
#: The scheme of each account range whose cryptograms can be verified, by the range's prefix.
Schemes = Mapping[str, Scheme]


class DecodedMessage(msgspec.Struct, frozen=True, array_like=True):
    """A message's fields, what it asks, and what its chip proves (None without DE55)."""

    fields: Fields
    question: AuthorizationRequest
    proof: DecodedProof | None


class DecodeTask(msgspec.Struct, frozen=True, array_like=True):
    """Messages to decode; `now` is the moment of the turn, aware and in UTC."""

    now: datetime
    messages: Sequence[bytes]


#: Between the two processes: the schemes once, then tasks one way and replies the other.
encode = msgspec.msgpack.Encoder().encode
decode_schemes = msgspec.msgpack.Decoder(dict[str, Scheme]).decode
decode_task = msgspec.msgpack.Decoder(DecodeTask).decode
decode_reply = msgspec.msgpack.Decoder(list[DecodedMessage | None]).decode


def decode_message(
    message: bytes, now: datetime, schemes: Schemes, keys: KeyStore
) -> DecodedMessage | None:
    """Decode one message and verify its cryptogram; None for what the switch has to look at itself.

    That is everything but a well-formed request that names no original. `now`, the moment of the
    turn, gives DE7 its year.
    """
    try:
        fields = unpack(message)
        question = question_of(fields, now)
        if not isinstance(question, AuthorizationRequest) or question.original is not None:
            return None
        proof = None
        scheme = schemes.get(question.account[:8]) or schemes.get(question.account[:6])
        if question.icc is not None and scheme is not None:
            key = keys.card_key(question.account, question.pan_sequence)
            proof = decoded_proof(chip_proof(question, scheme, key))
    except (CodecError, IccError, KeyStoreError):
        return None
    return DecodedMessage(fields=fields, question=question, proof=proof)


def serve(line: socket.socket) -> None:
    """Reply to each task in its order, a few messages at a time."""
    schemes = decode_schemes(receive(line))
    keys = KeyStore(Path(sys.argv[1]))
    send(line, b"")
    while True:
        task = decode_task(receive(line))
        for at in range(0, len(task.messages), MESSAGES_A_REPLY):
            messages = task.messages[at : at + MESSAGES_A_REPLY]
            decoded = [decode_message(message, task.now, schemes, keys) for message in messages]
            send(line, encode(decoded))


if __name__ == "__main__":
    run_worker(serve)
