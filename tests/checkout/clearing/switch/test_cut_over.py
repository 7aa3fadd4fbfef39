"""The network's business date moves on, and its participants learn of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from checkout.clearing.iso8583.codec import Fields
from checkout.clearing.iso8583.field_map import fields_of
from checkout.clearing.messages import (
    NetworkFunction,
    OriginalElements,
    Reversal,
    TransactionType,
)
from tests.checkout.clearing.network import Network
from tests.checkout.clearing.switch.test_server import Stranger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
_F = NetworkFunction
CUT_OFF = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)  # 23:00 in Shanghai


@contextmanager
def _participant(network: Network, number: str = "90020001") -> Iterator[Stranger]:
    caller = Stranger(network)
    with closing(caller.socket):
        assert caller.manage(_F.SIGN_ON, participant=number)["39"] == "00"
        yield caller


def _acknowledge(caller: Stranger, announcement: Fields, code: str = "00") -> None:
    answer = {name: announcement[name] for name in ("7", "11", "33", "70")}
    caller.send({"t": "0830", "39": code, **answer})


def _is_silent(caller: Stranger) -> bool:
    caller.socket.settimeout(0.5)
    try:
        return not caller.socket.recv(1)
    except TimeoutError:
        return True
    finally:
        caller.socket.settimeout(5)


@pytest.fixture
def early(network: Network) -> Network:
    network.clock.set_to(CUT_OFF - timedelta(seconds=1))
    return network


def test_at_the_cut_off_everyone_signed_on_is_told_begin_and_end(early: Network) -> None:
    with _participant(early) as one, _participant(early, "90020002") as other:
        early.clock.set_to(CUT_OFF)
        for caller, number in ((one, "90020001"), (other, "90020002")):
            begins = caller.receive()
            assert (begins["t"], begins["70"], begins["15"]) == ("0820", "201", "0303")
            assert begins["33"] == number
            _acknowledge(caller, begins)
            ends = caller.receive()
            assert (ends["t"], ends["70"], ends["15"]) == ("0820", "202", "0303")
            _acknowledge(caller, ends)
        assert _is_silent(one)
        assert one.ask(fields_of(early.request()))["15"] == "0303"


def test_the_date_moves_whether_or_not_a_participant_listens(early: Network) -> None:
    with _participant(early) as caller:
        before = caller.ask(fields_of(early.request()))
        early.clock.set_to(CUT_OFF)
        caller.send(fields_of(early.request()))
        announcement, after = caller.receive(), caller.receive()
        assert (announcement["70"], before["15"], after["15"]) == ("201", "0302", "0303")
        assert after["39"] == "00"
        assert caller.ask(fields_of(early.request()))["15"] == "0303"


def test_closing_a_date_before_the_cut_off_moves_it_too(network: Network) -> None:
    with _participant(network) as caller:
        network.client.operate("settle")
        announcement = caller.receive()
        assert (announcement["70"], announcement["15"]) == ("201", "0303")
        assert caller.ask(fields_of(network.request()))["15"] == "0303"
        network.clock.set_to(CUT_OFF)  # the clock gets to where the network is already
        assert _is_silent(caller)


def test_participant_that_asks_out_of_turn_hears_so_and_which_date_holds(early: Network) -> None:
    with _participant(early) as caller:
        for function in (_F.CUT_OVER_START, _F.CUT_OVER_END):
            answer = caller.manage(function)
            assert (answer["39"], answer["15"]) == ("12", "0302")
        assert caller.ask(fields_of(early.request()))["15"] == "0302"


def test_participant_that_was_away_cuts_over_when_it_is_back(early: Network) -> None:
    with _participant(early):
        pass
    early.clock.set_to(CUT_OFF + timedelta(days=2))
    with _participant(early) as caller:
        assert caller.manage(_F.ECHO)["15"] == "0305"
        assert [caller.manage(_F.CUT_OVER_START)["39"] for _ in range(2)] == ["00", "12"]
        assert [caller.manage(_F.CUT_OVER_END)["39"] for _ in range(2)] == ["00", "12"]


def test_refused_cut_over_is_not_ended_and_may_be_asked_for(early: Network) -> None:
    with _participant(early) as caller:
        early.clock.set_to(CUT_OFF)
        _acknowledge(caller, caller.receive(), code="96")
        assert _is_silent(caller)
        assert caller.manage(_F.CUT_OVER_START)["39"] == "00"


def test_answers_to_nothing_move_nothing(early: Network) -> None:
    with _participant(early) as caller:
        _acknowledge(caller, {"7": "0302150000", "11": "000077", "33": "90020001", "70": "201"})
        assert caller.manage(_F.ECHO)["39"] == "00"
        assert caller.manage(_F.CUT_OVER_END)["39"] == "12"


def test_what_is_told_and_answered_carries_a_mac_once_there_is_a_key(early: Network) -> None:
    early.client.echo()  # the shop's own line has exchanged keys
    early.clock.set_to(CUT_OFF)
    deadline = datetime.now(UTC) + timedelta(seconds=5)
    while datetime.now(UTC) < deadline:
        announced = [one for one in early.reader.messages() if one.kind.startswith("cut-over")]
        if len(announced) == 2:
            break
    assert [(one.kind, one.response_code) for one in announced] == [
        ("cut-over-end", "00"),
        ("cut-over-start", "00"),
    ]
    assert all("DE128" in one.dump()["request"] for one in announced)
    assert early.ask(early.request()).response.approved


def test_nobody_undoes_or_forestalls_what_another_participant_sent(network: Network) -> None:
    sale, coming = network.request(), network.request()
    assert network.code(sale) == "00"
    with _participant(network, "90020002") as other:
        for original, code in ((sale, "12"), (coming, "25")):
            named = replace(
                original,
                forwarder="90020002",
                original=OriginalElements(
                    message_type="0200",
                    stan=original.stan,
                    transmitted_at=original.transmitted_at,
                    acquirer=original.acquirer,
                    forwarder=original.forwarder,
                ),
            )
            assert other.ask(fields_of(Reversal(request=named)))["39"] == code
            for kind in (TransactionType.VOID, TransactionType.REFUND):
                asked = replace(network.follow(original, kind), forwarder="90020002")
                assert other.ask(fields_of(asked))["39"] == "25"
    assert network.code(coming) == "00"
    assert network.code(network.follow(sale, TransactionType.VOID)) == "00"
