"""`checkout switch --spec`: the messages of this switch, described from its own tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from checkout.clearing.iso8583.codec import Fields, frame, pack
from checkout.clearing.iso8583.dump import describe
from checkout.clearing.iso8583.field_map import SHAPES, fields_of
from checkout.clearing.iso8583.fields import ANSWERS, FIELDS, REQUIRED
from checkout.clearing.iso8583.mac import mac_field
from checkout.clearing.iso8583.private_fields import CONDITIONS
from checkout.clearing.messages import RESPONSE_TEXTS, REVERSAL_REASONS, NetworkFunction
from checkout.clearing.scheme.participants import demo_participants
from checkout.clearing.switch.fault_injection import CUSTOMARY_ENDINGS
from checkout.clearing.switch.samples import answer_to, questions

_OPENING = """\
# Messages of the clearing backend

ISO 8583:1987 over TCP, of the kind that China UnionPay's network uses, for a simulated network:
no real card, bank or money is behind it, and every account number begins 9999, which no real
network routes.

## On the wire

- Each message is preceded by its length: two bytes, big-endian, not counting themselves.
  At most 4,096 bytes. There is no header of 46 bytes as UnionPay has it (a deviation).
- Message type, numerics and the lengths of LL and LLL fields are ASCII. Bitmaps are binary.
  DE52, 55, 64, 96 and 128 are binary; every other field is ASCII.
- One connection carries many messages at once. Answers come in any order; match them by message
  type, DE11 and DE41.
- Bytes that can't be answered (no message type or no STAN to be read, an impossible length) close
  the connection.
"""

_SIGNING_ON = """\
## Signing on

1. 0820 with DE70 = 001 and your institution number in DE33. The 0830 says 00.
2. Business may begin: a connection that never asks for keys needs no MAC and sends no PIN.
3. For a MAC key, 0820 with DE70 = 101 and DE53 = 2000000000000000 (1000000000000000 for a PIN
   key). The 0830 says 00, and an 0800 follows with the key in DE48 under the letters NK: a TR-31
   block, version D, under your zone key (32 bytes, AES; the file keys/issuer-keys.json of this
   installation holds it as "zone NAME").
4. Answer the 0800 with an 0810: the same DE7, 11, 33, 53 and 70, and DE39 = 00. From then on the
   new key counts, on both sides.
5. Once a MAC key is exchanged every message, answers too, ends in a MAC: DE64, or DE128 where any
   field above 64 is there. It is ISO/IEC 9797-1 MAC algorithm 3 with padding method 1 (ANSI X9.19)
   under the 16-byte key, over all bytes from the message type to the last one before the MAC, the
   MAC's bit set in the bitmap already. A missing or wrong MAC is answered A0.
6. A switch that is about to stop sends you an 0820 with DE70 = 002. What is under way is still
   answered; send nothing new, and hang up once you have your answers (it waits for 1 s of silence,
   3 s in all). No 0830 is needed.

## Cut-over

The network alone moves its business date: at 23:00 in Shanghai, or earlier when a date is closed
(`checkout settle`). Every answer says in DE15 which date it belongs to; so does every 0830.

1. Every participant that is signed on gets an 0820 from the switch with DE70 = 201 and the new date
   in DE15, ahead of the first answer that carries it. A request sent before and answered later has
   the new date too: the answer's date counts.
2. Answer it with an 0830: the same DE7, 11, 33 and 70, and DE39 = 00. An 0820 with DE70 = 202
   follows and is answered alike. A participant that doesn't answer stays signed on and goes on.
3. A participant that was away at cut-over sees the date in the answer to its sign-on, and may send
   201 and then 202 itself; both are answered 00. A 201 before the network has moved on, and a 202
   without a 201, are answered 12, with the current date in DE15.

## Rules of conversation

- Two requests are the same if DE7, 11, 32 and 41 are: the second is answered 94. An advice (0220 or
  0221) that repeats the first in every field gets its first answer again.
- A reversal (0420 or 0421) names its original in DE90. 00: the original does not stand (any more).
  25: it has not come; should it come later, it is answered 68. Repeat a reversal until you are
  answered: it takes effect once.
- A void needs the whole amount on the same business date; a refund takes any part on any day. The
  void of a pre-authorisation and a reversal take the whole too. Another amount is answered 64.
- A pre-authorisation holds for 30 days by the clock and is completed once, to at most 115 %.
- A message that follows another (0420, void, refund, completion) must come from the participant
  that sent the original: from any other, a reversal is answered 12, the rest 25. DE2,
  DE32, DE41, DE42 and DE49 are those of the original; where one differs, the answer is 25.
- A number that is typed (DE22 01x) or given online (81x) needs something that proves its payer: a
  cryptogram in DE55, or a payment token's in DE63 under TK. Without one it is answered 57, unless
  an agreement in the rules says otherwise.
- Only a wallet operator tops up: DE32 and DE33 name it, DE2 is its payer's account, DE52 that
  payer's PIN. A void or refund gives the money back to the bank account, unless it is spent.
- DE60.11 names a code where DE22 is 03x, and nowhere else: a contradiction is answered 30.
- Malformed fields are answered 30, unknown types and kinds 12, a wrong order (not signed on, DE33
  not yours) 12, absurd amounts 13.
"""

_USAGES = """\
DE48 and DE63 hold usages: two letters, three digits of length, content.

- DE48: NK a new key; OP the name of an operation.
- DE63: TK in requests, eleven digits of token requestor (zeros for none) and a payment token's
  cryptogram in hex; MA in answers, the masked account behind a payment token.

DE54 is account (00), kind (02), currency, C or D, twelve digits. DE90 is the original's type, STAN,
DE7, DE32 and DE33, the last two of eleven digits with zeros in front.
"""


_DISPUTES = """\
## Disputes

No message of this table carries a dispute. In the network that this one is modelled on, chargeback
and representment happen after the clearing, in files and at the network's dispute desk, not in an
online request that has to be answered within seconds. So they are operations of the back office
here (0600 with OP `charge-back`, `represent`, `decide`, `lapse`), booked, netted and settled
like everything else. An 0422 or 0620 is answered 12, like every question that is not in the table.
"""


def specification() -> str:
    """The whole text, in Markdown."""
    return "\n".join(
        (
            _OPENING,
            _participants(),
            _SIGNING_ON,
            _messages(),
            _fields(),
            _private(),
            _codes(),
            _DISPUTES,
            *_samples(),
        )
    )


def _table(headings: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _participants() -> str:
    participants = demo_participants().signing_on()
    rows = ((each.institution, each.id, each.name) for each in participants)
    return "## Who may sign on\n\n" + _table(("DE33", "zone key", "participant"), rows)


def _messages() -> str:
    kinds = (
        (f"{kind} / {ANSWERS[kind]}", what.value, f"{code}0000", condition or "any but 06")
        for what, (kind, code, condition) in SHAPES.items()
    )
    needed = ((message_type, ", ".join(numbers)) for message_type, numbers in REQUIRED.items())
    functions = ((each.value, each.name.lower().replace("_", " ")) for each in NetworkFunction)
    return "\n".join(
        (
            "## Messages\n",
            _table(("type / answer", "what", "DE3", "DE25"), kinds),
            "0420 / 0430 reverses any of them; 0820 / 0830 manages the connection; 0800 / 0810 "
            "brings a key;\n0600 / 0610 is the back office's own.\n",
            _table(("request", "fields it can't do without"), needed),
            _table(("DE70", "function"), functions),
        )
    )


def _fields() -> str:
    rows = (
        (
            str(field.number),
            field.name,
            field.form.value,
            f"{field.length.value} {field.size}",
            field.use,
        )
        for field in FIELDS
    )
    return "## Fields\n\n" + _table(("DE", "name", "form", "length", "use"), rows)


def _private() -> str:
    parts = ((name, str(length), meaning) for name, length, meaning in CONDITIONS)
    reasons = ((code, reason) for reason, code in REVERSAL_REASONS.items())
    return "\n".join(
        (
            "## Private fields\n",
            "DE60 has 18 digits:\n",
            _table(("part", "digits", "meaning"), parts),
            _table(("60.1", "reason of a reversal"), reasons),
            _USAGES,
        )
    )


def _codes() -> str:
    endings = ", ".join(f".{ending}" for ending in CUSTOMARY_ENDINGS)
    return (
        "## Response codes\n\n"
        + _table(("DE39", "meaning"), iter(RESPONSE_TEXTS.items()))
        + f"\nWith `customary_amounts = true` in the fault rules, amounts that end in {endings}\n"
        "get that code.\n"
    )


def _samples() -> Iterator[str]:
    yield "## Samples\n"
    for title, question in questions():
        fields = fields_of(question)
        yield _sample(title, fields)
        if fields["t"] != "0800":
            yield _sample(f"{title}, answered", answer_to(question))


def _sample(title: str, fields: Fields) -> str:
    """One message as bytes in hex and field by field, without a MAC."""
    message = pack(fields)
    text = frame(message).hex().upper()
    lines = [text[at : at + 96] for at in range(0, len(text), 96)]
    described = describe(message)
    listing = [f"{described.pop('message_type')}"]
    for key, field in described.items():
        listing.append(f"{key:6} {field['name']}: {_flat(field['value'])}")
    return (
        f"### {fields['t']} {title}\n\n```\n"
        + "\n".join(lines)
        + "\n\n"
        + "\n".join(listing)
        + f"\n```\n\nIts MAC would be DE{mac_field(fields)}.\n"
    )


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"\n         {tag} = {content}" for tag, content in value.items())
    return str(value)
