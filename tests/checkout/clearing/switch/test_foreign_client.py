"""An ISO 8583 client from PyPI that shares nothing with this project does business with the switch.

It is iso8583sim's asyncio client, which knows only what `checkout switch --spec` prints: ASCII text
and lengths, binary bitmaps, two bytes of length.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from checkout.clearing.switch.discovery import find_switch
from checkout.clearing.switch.fault_injection import parse_faults
from tests.checkout.clearing.network import EMPTY, EXPIRED, Network, running_network

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
iso8583sim_net = pytest.importorskip("iso8583sim.net")
iso8583sim = pytest.importorskip("iso8583sim.core.types")

DEBIT = "9999011000000019"


class Foreigner:
    """The other program's client, with one conversation at a time."""

    def __init__(self, network: Network) -> None:
        address = find_switch(network.home, network.url)
        assert address is not None
        self._client = iso8583sim_net.ISO8583Client(*address, timeout=5)
        self._sent = f"{network.clock():%m%d%H%M%S}"
        self._stan = 0

    async def say(self, message_type: str, **fields: str) -> dict[int, str]:
        """One message and the fields of its answer; `de39="00"` names a field."""
        self._stan += 1
        given = {int(name[2:]): value for name, value in fields.items()}
        given = {7: self._sent, 11: f"{self._stan:06d}", 33: "90020002"} | given
        message = iso8583sim.ISO8583Message(mti=message_type, fields=given)
        answer = await self._client.send(message)
        fields: dict[int, str] = answer.fields
        return fields

    async def purchase(self, amount: int, account: str = DEBIT, **more: str) -> dict[int, str]:
        """0200 by a payer's code."""
        return await self.say(
            "0200",
            **{
                "de2": account,
                "de3": "000000",
                "de4": f"{amount:012d}",
                "de12": "120000",
                "de13": "0302",
                "de18": "5411",
                "de19": "156",
                "de22": "030",
                "de25": "00",
                "de32": "90020002",
                "de37": f"{self._stan + 1:012d}",
                "de41": "FOREIGN1",
                "de42": "SHOPOFSTRANGERS",
                "de43": "A SHOP SOMEWHERE",
                "de49": "156",
            }
            | more,
        )

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()


async def _business(network: Network) -> None:
    them = Foreigner(network)
    before = network.available()
    assert (await them.purchase(100))[39] == "12"  # not signed on yet
    assert (await them.say("0820", de70="001"))[39] == "00"
    assert (await them.say("0820", de70="301"))[39] == "00"
    bought = await them.purchase(1234)
    assert (bought[39], bought[15], bought[0]) == ("00", "0302", "0210")
    assert len(bought[38]) == 6 and network.available() == before - 1234
    again = await them.purchase(1234, de11=bought[11])
    assert again[39] == "94"
    original = f"0200{bought[11]}{bought[7]}{'90020002'.zfill(11) * 2}"
    for _ in range(2):
        reversed_ = await them.say(
            "0420",
            **{f"de{n}": bought[n] for n in (2, 3, 4, 25, 32, 37, 41, 42, 49)},
            de18="5411",
            de19="156",
            de22="030",
            de90=original,
        )
        assert (reversed_[0], reversed_[39]) == ("0430", "00")
    assert network.available() == before
    for account, code in ((EXPIRED, "54"), (EMPTY, "51"), ("9999999000000018", "14")):
        assert (await them.purchase(500, account))[39] == code
    codes = {
        ending: (await them.purchase(1200 + ending))[39] for ending in (51, 54, 55, 61, 94, 96)
    }
    assert codes == {ending: str(ending) for ending in codes}
    answers = await asyncio.gather(*(them.purchase(100 + n) for n in range(10, 40)))
    assert {one[39] for one in answers} == {"00"}
    assert (await them.say("0820", de70="002"))[39] == "00"
    await them.close()


def test_client_from_pypi_signs_on_buys_reverses_and_reads_every_code(tmp_path: Path) -> None:
    faults = parse_faults("customary_amounts = true")
    with running_network(tmp_path, faults=faults) as network:
        asyncio.run(_business(network))
        network.reader.trial_balance()
