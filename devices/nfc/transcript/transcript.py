"""Commented APDU transcripts: recorded from a tap, replayed as a card.

A line `> HEX` is a command, `< HEX` its response, `# text` a comment. An empty `>` stands for any
command, an empty `<` for a response that never came. The lines `# terminal: ...` together are a
TOML text that pins transaction and terminal data (`kernel.terminal_file.parse_pinned`). Without
them both are inferred from the commands.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from devices.nfc.contract import CardDescription, CardGone, TransportError
from devices.nfc.emv import ber_tlv
from devices.nfc.emv.apdu import PPSE, ApduError, Command
from devices.nfc.kernel.oda import Method, OdaResult, Verdict
from devices.nfc.kernel.terminal import TerminalData
from devices.nfc.kernel.transaction import Transaction
from devices.nfc.transcript.conditions import Conditions, infer, pinned


class TranscriptError(Exception):
    """A text that is not a transcript; names the line and what was expected."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"transcript line {line}: {message}")
        self.line = line


class Deviation(TransportError):
    """The terminal sent another command than the recording has; the message shows both."""

    def __init__(self, message: str) -> None:
        super().__init__("transcript-deviation", message)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedExchange:
    """One exchange of a transcript: command None for any, response None for none."""

    line: int
    command: bytes | None
    response: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A parsed transcript."""

    exchanges: tuple[RecordedExchange, ...]
    comments: tuple[str, ...] = ()

    @property
    def masked(self) -> bool:
        """Whether card data were masked, so that no certificate or signature can verify."""
        for comment in self.comments:
            if match := re.match(r"masked:\s*(yes|no)\b", comment):
                return match[1] == "yes"
        return any(re.search(r"(?<!not )\bmasked\b", comment) for comment in self.comments)

    @property
    def pinned(self) -> bool:
        """Whether this project recorded it, with the terminal's conditions."""
        return any(comment.startswith("terminal:") for comment in self.comments)

    @property
    def starts_at_select(self) -> bytes | None:
        """The AID that the first command selects, or None where a command selects the PPSE.

        Where the first command may be any, its response gives the AID.
        """
        first = self.exchanges[0]
        name: bytes | None = None
        if any(PPSE in (exchange.command or b"") for exchange in self.exchanges):
            return None
        with suppress(ApduError, ber_tlv.TlvError):
            if first.command is None:
                name = ber_tlv.find(ber_tlv.parse((first.response or b"")[:-2]), 0x84)
            elif first.command[:4] == b"\x00\xa4\x04\x00":
                name = Command.parse(first.command).body
        return None if name in (None, PPSE) or not 5 <= len(name or b"") <= 16 else name

    @property
    def oda(self) -> OdaResult:
        """The recorded result of offline data authentication; passed where none is recorded."""
        for comment in self.comments:
            match = re.match(r"oda: (\S+) (\S+)(?: (\S+))?$", comment)
            if match and match[1] in _METHODS and match[2] in _VERDICTS:
                return OdaResult(
                    method=Method(match[1]), verdict=Verdict(match[2]), reason=match[3]
                )
        return OdaResult(method=Method.NONE, verdict=Verdict.PASSED)

    def conditions(self, transaction: Transaction, terminal: TerminalData) -> Conditions:
        """The conditions under which the kernel sends the recorded commands.

        They come from the `# terminal:` lines, else from the commands; the arguments provide the
        rest. Raises TerminalError or TransactionError for lines that are not valid.
        """
        text = "\n".join(
            comment.removeprefix("terminal:").strip()
            for comment in self.comments
            if comment.startswith("terminal:")
        )
        masked = self.oda if self.masked else None
        pairs = [(exchange.command or b"", exchange.response or b"") for exchange in self.exchanges]
        if text:
            return pinned(text, pairs, self.starts_at_select, masked, terminal)
        return infer(pairs, self.starts_at_select, masked, transaction, terminal)


_METHODS: Final = frozenset(Method)
_VERDICTS: Final = frozenset(Verdict)


def parse_transcript(text: str) -> Transcript:
    """A transcript from its text. Raises TranscriptError naming the line.

    The notations of other tools are accepted: `->`, `>>`, `C-APDU:` and the like for `>`, hex in
    pairs or with 0x, remarks after the digits, and digits that continue in the next line.
    """
    comments: list[str] = []
    lines: list[tuple[int, bool, str]] = []  # line, is a command, hex digits
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line:
            continue
        if line[0] in "#;" or line.startswith("//"):
            comments.append(line.lstrip("#;/").strip())
            continue
        digits = _REMARK.split(line, maxsplit=1)[0]
        if mark := _MARK.match(digits):
            lines.append((number, mark["command"] is not None, digits[mark.end() :]))
        elif lines and _DIGITS.fullmatch(digits):
            start, is_command, before = lines.pop()
            lines.append((start, is_command, before + digits))
        else:
            raise TranscriptError(number, "expected a line that begins with >, < or #")
    exchanges = tuple(_corrected(_paired(lines)))
    if not exchanges:
        raise TranscriptError(1, "expected at least one > or < line")
    return Transcript(exchanges=exchanges, comments=tuple(comments))


_MARK: Final = re.compile(
    r"(?:(?P<command>[-=]*>+|(?:C-?APDU|CMD|COMMAND|SEND|TX)\s*[:>])"
    r"|<+[-=]*|(?:R-?APDU|RSP|RESP|RESPONSE|RECV|RX)\s*[:<])",
    re.IGNORECASE,
)
_REMARK: Final = re.compile(r"#|;|//")
_BETWEEN: Final = re.compile(r"0x|[\s:,._\[\]|-]", re.IGNORECASE)
_DIGITS: Final = re.compile(r"(?:0x|[0-9A-Fa-f\s:,._\[\]|-])+")


def _paired(lines: Iterable[tuple[int, bool, str]]) -> Iterator[RecordedExchange]:
    """Each command with the response after it; either may be missing."""
    waiting: tuple[int, bytes | None] | None = None
    for number, is_command, digits in lines:
        if is_command:
            if waiting is not None:
                yield RecordedExchange(line=waiting[0], command=waiting[1], response=None)
            waiting = number, _hex(digits, number)
            continue
        start, command = waiting if waiting is not None else (number, None)
        yield RecordedExchange(line=start, command=command, response=_hex(digits, number))
        waiting = None
    if waiting is not None:
        yield RecordedExchange(line=waiting[0], command=waiting[1], response=None)


def _hex(digits: str, line: int) -> bytes | None:
    plain = _BETWEEN.sub("", digits)
    if not plain:
        return None
    try:
        return bytes.fromhex(plain)
    except ValueError:
        raise TranscriptError(line, "expected hex digits, two for each byte") from None


def _corrected(exchanges: Iterable[RecordedExchange]) -> Iterator[RecordedExchange]:
    """Correct 00 0C 00 00 nn after 61nn, a misprint of published recordings, to GET RESPONSE."""
    before = b""
    for exchange in exchanges:
        command = exchange.command
        if before[-2:-1] == b"\x61" and command == b"\x00\x0c\x00\x00" + before[-1:]:
            command = b"\x00\xc0" + command[2:]
        before = exchange.response or b""
        yield RecordedExchange(line=exchange.line, command=command, response=exchange.response)


class TranscriptCard:
    """A card that gives the recorded responses while it receives the recorded commands.

    With `by_command` it answers another walk than the recorded one too: each command by the
    recorded response to the same one, or to one of the same kind. `departures` has a sentence for
    each such answer.
    """

    def __init__(self, transcript: Transcript, *, by_command: bool = False) -> None:
        self._exchanges = transcript.exchanges
        self._next = 0
        self._masked = transcript.masked
        self._by_command = by_command
        self.departures: list[str] = []

    @property
    def description(self) -> CardDescription:
        """A transcript has no data of activation."""
        return CardDescription(technology="transcript", uid=b"")

    def transceive(self, command: bytes) -> bytes:
        """The recorded response.

        Raises Deviation for another command than the recorded one, CardGone where the recording
        has no response, TransportError("transcript-ended") after its end. With `by_command` it
        raises them only where the recording has no such command.
        """
        if self._by_command and not self._is_next(command):
            answer = self._answer_by_command(command)
            if answer is not None:
                return answer
        number = self._next + 1
        if self._next >= len(self._exchanges):
            raise TransportError(
                "transcript-ended",
                f"the transcript ends after command {self._next}; the terminal sent "
                f"{command.hex().upper()}",
            )
        recorded = self._exchanges[self._next]
        if recorded.command is not None and not _same(recorded.command, command):
            raise Deviation(
                f"command {number} (line {recorded.line}): the transcript has "
                f"{recorded.command.hex().upper()}, the terminal sent {command.hex().upper()}"
            )
        self._next += 1
        if recorded.response is None:
            raise CardGone(f"the transcript has no response to command {number}")
        return recorded.response

    def _is_next(self, command: bytes) -> bool:
        if self._next >= len(self._exchanges):
            return False
        recorded = self._exchanges[self._next].command
        return recorded is None or _same(recorded, command)

    def _answer_by_command(self, command: bytes) -> bytes | None:
        """The response to the nearest command of the recording; None where it has none such.

        Of equal ones the next after the last answer counts. What a card would not have is answered
        so: an unknown name by 6A82, a missing record by 6A83.
        """
        sent = _shown(command)
        after = range(self._next, len(self._exchanges))
        nearest: tuple[Callable[[bytes, bytes], bool], ...] = (_same, _same_subject, _same_kind)
        for alike in nearest:
            for index in (*after, *range(self._next)):
                recorded = self._exchanges[index]
                response: bytes | None = recorded.response
                if recorded.command is None or response is None:
                    continue
                if alike(recorded.command, command):
                    self._next = index + 1
                    self.departures.append(
                        f"{sent} was answered by the response to "
                        f"{_shown(recorded.command)} in line {recorded.line}"
                    )
                    return response
        missing: bytes | None = _MISSING.get(command[1:2])
        if missing is not None:
            self.departures.append(f"{sent} is not in the recording: answered {missing.hex()}")
        return missing


def _same(recorded: bytes, sent: bytes) -> bool:
    """Whether the commands are equal; some recordings leave out Le."""
    if recorded == sent:
        return True
    return sent[-1:] == b"\x00" and recorded == sent[:-1] and len(recorded) >= 5


_SELECT, _READ_RECORD, _GENERATE_AC = b"\xa4", b"\xb2", b"\xae"
_TC, _ARQC = 0x40, 0x80
_MISSING: Final[dict[bytes, bytes]] = {_SELECT: b"\x6a\x82", _READ_RECORD: b"\x6a\x83"}
#: Instructions whose data, or whose P1-P2, name what is asked for; another one won't do.
_NAMED_BY_DATA: Final = (_SELECT,)
_NAMED_BY_PARAMETERS: Final = (_READ_RECORD, b"\xca", b"\xc0")


def _same_subject(recorded: bytes, sent: bytes) -> bool:
    """Whether both ask for the same: the same instruction, name, record or cryptogram type.

    The terminal's own values in the data may differ.
    """
    if recorded[:2] != sent[:2]:
        return False
    if sent[1:2] in _NAMED_BY_DATA:
        return recorded[2:4] == sent[2:4] and _data(recorded) == _data(sent)
    if sent[1:2] == _GENERATE_AC:
        # an approval that was signed must not answer for one that is not; the issuer checks an ARQC
        return recorded[2] == sent[2] or recorded[2] & 0xC0 == sent[2] & 0xC0 == _ARQC
    return recorded[2:4] == sent[2:4]


def _shown(command: bytes) -> str:
    """A command for people: its header, and of SELECT the name; other data may be the card's."""
    return (command if command[1:2] == _SELECT else command[:4]).hex().upper()


def _data(command: bytes) -> bytes:
    return command[5 : 5 + command[4]] if len(command) > 5 else b""


def _same_kind(recorded: bytes, sent: bytes) -> bool:
    """Whether the instruction is the same, where it alone says what is asked for."""
    named = (*_NAMED_BY_DATA, *_NAMED_BY_PARAMETERS)
    if recorded[:2] == sent[:2] and sent[1:2] == _GENERATE_AC:  # a card may go online instead
        return recorded[2] & 0xC0 == _ARQC and sent[2] & 0xC0 == _TC
    return recorded[:2] == sent[:2] and sent[1:2] not in named


class TranscriptReader:
    """A reader to which the recorded card is presented once, and again at each `present`.

    A recording without `# terminal:` lines was made by another reader, whose walk need not be this
    terminal's: its card answers by command. `departures` tells where the last one did.
    """

    def __init__(self, text: str, path: str) -> None:
        """Parse the text. Raises TranscriptError where it is not a transcript."""
        self.transcript: Final = parse_transcript(text)
        self._path = path
        self._presented = True
        self._card: TranscriptCard | None = None

    @property
    def departures(self) -> tuple[str, ...]:
        """Where the last card answered another walk than the recorded one; empty if nowhere."""
        return () if self._card is None else tuple(self._card.departures)

    @classmethod
    def open(cls, file: str | Path) -> TranscriptReader:
        """Open the reader `transcript:FILE`. Raises TranscriptError or OSError."""
        return cls(Path(file).read_text("utf-8-sig"), f"transcript:{file}")

    @property
    def name(self) -> str:
        """Its name for people."""
        return f"recording {self._path.removeprefix('transcript:')}"

    @property
    def path(self) -> str:
        """The path with which `--reader` opens it again."""
        return self._path

    @property
    def emulated(self) -> bool:
        """Always true: a replay is not a real card."""
        return True

    def conditions(self, transaction: Transaction, terminal: TerminalData) -> Conditions:
        """The conditions of the recording; see `Transcript.conditions`."""
        return self.transcript.conditions(transaction, terminal)

    def present(self) -> None:
        """Present the recorded card again, for the next `wait_for_card`."""
        self._presented = True

    def wait_for_card(self, timeout_s: float) -> TranscriptCard | None:
        """The recorded card from its first exchange on, at once; None after it has been taken."""
        if not self._presented:
            time.sleep(timeout_s)
            return None
        self._presented = False
        self._card = TranscriptCard(self.transcript, by_command=not self.transcript.pinned)
        return self._card

    def release(self) -> None:
        """Do nothing: there is no device."""

    def wait_for_removal(self, timeout_s: float) -> bool:
        """Always true: a recorded card does not stay."""
        return True

    def signal(self, result: Literal["success", "failure", "ready", "off"]) -> None:
        """Do nothing: there is no light and no sound."""

    def close(self) -> None:
        """Do nothing: there is no device."""
