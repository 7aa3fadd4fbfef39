"""Records a tap as a transcript: unmasked for this project's own cards, masked for any other."""

from __future__ import annotations

from devices.nfc.emv.apdu import Exchange
from devices.nfc.emv.masking import mask_pan
from devices.nfc.kernel.oda import Verdict
from devices.nfc.kernel.result import TapResult
from devices.nfc.kernel.terminal import TerminalData
from devices.nfc.kernel.terminal_file import format_terminal
from devices.nfc.kernel.transaction import Transaction


def may_record_unmasked(result: TapResult) -> bool:
    """Whether the card has proved to be an emulated one, which no real network knows.

    Either it was authenticated under this installation's own test CA, or its number begins with
    9999 (ISO/IEC 7812: 9 and a country code, and no country has 999).
    """
    own = result.ca_key is not None and result.ca_key.own
    authenticated = own and result.oda.verdict is Verdict.PASSED
    return authenticated or (result.pan is not None and result.pan.startswith("9999"))


def record(
    result: TapResult,
    *,
    transaction: Transaction | None = None,
    terminal: TerminalData | None = None,
    note: str = "",
) -> str:
    """The tap as a transcript that replays under its own transaction and terminal data.

    All that is not known to be harmless is masked unless `may_record_unmasked`; a masked recording
    replays with its authentication not performed. `transaction` and `terminal` are used where the
    result has none. Raises ValueError where neither has one.
    """
    whole = may_record_unmasked(result)
    exchanges = result.exchanges if whole else result.masked_exchanges()
    transaction, terminal = result.transaction or transaction, result.terminal or terminal
    if transaction is None or terminal is None:
        raise ValueError("a recording needs the transaction and the terminal data of its tap")
    oda = result.oda
    lines = ["checkout APDU transcript", *note.splitlines()]
    lines.append(f"masked: {'no' if whole else 'yes'}")
    lines.append(f"outcome: {result.outcome} ({result.reason})")
    lines.append(f"oda: {oda.method} {oda.verdict}{f' {oda.reason}' if oda.reason else ''}")
    pins = format_terminal(terminal, transaction).splitlines()
    lines += [f"terminal: {line}" for line in pins]
    text = [f"# {_hidden(line, result.pan)}" for line in lines]
    for exchange in exchanges:
        text += _exchange_lines(exchange)
    return "\n".join(text) + "\n"


def _hidden(line: str, pan: str | None) -> str:
    return line.replace(pan, mask_pan(pan)) if pan else line


def _exchange_lines(exchange: Exchange) -> list[str]:
    status = exchange.response[-2:].hex().upper() or "no answer"
    return [
        f"# {exchange.name}: {status}, {exchange.elapsed_ms:.2f} ms",
        f"> {exchange.command.hex().upper()}",
        f"< {exchange.response.hex().upper()}".rstrip(),
    ]
