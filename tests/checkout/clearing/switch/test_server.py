"""The switch as a process others talk to: many at once, garbage, a bad end, a good one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from checkout.clearing.client.client import NoAnswer, NotSent, SwitchClient
from checkout.clearing.client.open_client import open_client
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.iso8583.codec import Fields, frame, pack, unpack
from checkout.clearing.iso8583.field_map import fields_of
from checkout.clearing.messages import (
    Initiation,
    NetworkFunction,
    NetworkMessage,
    Operation,
    SessionKey,
)
from checkout.clearing.scheme.participants import demo_participants
from checkout.clearing.switch.discovery import SwitchRunning, find_switch, take_seat
from checkout.clearing.switch.fault_injection import FaultsError, parse_faults
from checkout.clearing.switch.server import SwitchServer
from tests.checkout.clearing.network import DEBIT, PIN, Network, exactly, running_network

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class Stranger:
    """A client of its own: a bare socket and this project's codec, no more."""

    def __init__(self, network: Network) -> None:
        address = find_switch(network.home, network.url)
        assert address is not None
        self.socket = socket.create_connection(address, timeout=5)
        self._network = network

    def send(self, fields: Fields) -> None:
        """Send one message without a MAC."""
        self.socket.sendall(frame(pack(fields)))

    def receive(self) -> Fields:
        """The next message; ConnectionError where the switch hung up."""
        return unpack(exactly(self.socket, int.from_bytes(exactly(self.socket, 2))))

    def ask(self, fields: Fields) -> Fields:
        """Send and receive."""
        self.send(fields)
        return self.receive()

    def manage(self, function: NetworkFunction, **changed: object) -> Fields:
        """One network message, asked."""
        message = NetworkMessage(
            function=function,
            stan=1,
            transmitted_at=self._network.clock(),
            participant="90020001",
        )
        return self.ask(fields_of(replace(message, **changed)))  # type: ignore[arg-type]

    def is_hung_up_on(self) -> bool:
        """Whether the switch closes the connection."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


@pytest.fixture
def stranger(network: Network) -> Iterator[Stranger]:
    """A bare connection to the switch."""
    caller = Stranger(network)
    yield caller
    caller.socket.close()


def test_business_needs_a_sign_on_but_no_keys(network: Network, stranger: Stranger) -> None:
    purchase = fields_of(network.request())
    assert stranger.ask(purchase)["39"] == "12"
    assert stranger.manage(NetworkFunction.SIGN_ON)["39"] == "00"
    assert stranger.ask(purchase)["39"] == "00"
    assert stranger.manage(NetworkFunction.SIGN_OFF)["39"] == "00"
    assert stranger.ask(fields_of(network.request()))["39"] == "12"


def test_only_acquirers_sign_on_and_speak_for_themselves_alone(
    network: Network, stranger: Stranger
) -> None:
    assert stranger.manage(NetworkFunction.SIGN_ON, participant="90010001")["39"] == "12"
    assert stranger.manage(NetworkFunction.SIGN_ON, participant="11111111")["39"] == "12"
    assert stranger.manage(NetworkFunction.SIGN_ON)["39"] == "00"
    assert stranger.manage(NetworkFunction.SIGN_ON, participant="90020002")["39"] == "12"
    other = fields_of(network.request(forwarder="90020002"))
    assert stranger.ask(other)["39"] == "12"


def test_echo_is_answered_once_signed_on(stranger: Stranger) -> None:
    assert stranger.manage(NetworkFunction.ECHO)["39"] == "12"
    stranger.manage(NetworkFunction.SIGN_ON)
    answer = stranger.manage(NetworkFunction.ECHO)
    assert (answer["t"], answer["39"], answer["70"], answer["15"]) == ("0830", "00", "301", "0302")


def test_mac_is_required_once_a_key_was_taken(network: Network, stranger: Stranger) -> None:
    stranger.manage(NetworkFunction.SIGN_ON)
    assert stranger.manage(NetworkFunction.KEY_RESET)["39"] == "30"
    asked = stranger.manage(NetworkFunction.KEY_RESET, session_key=SessionKey.MAC)
    assert asked["39"] == "00"
    offered = stranger.receive()
    assert offered["t"] == "0800" and offered["48"].startswith("NK112D0112M3T")
    assert stranger.ask(fields_of(network.request()))["39"] == "00"  # not taken yet
    taken = {name: offered[name] for name in ("7", "11", "33", "53", "70")}
    stranger.send({"t": "0810", "39": "00", **taken})
    refused = stranger.ask(fields_of(network.request()))
    assert refused["39"] == "A0" and "64" in refused
    spoilt = fields_of(network.request()) | {"64": "00" * 8}
    assert stranger.ask(spoilt)["39"] == "A0"
    assert network.reader.messages(limit=1)[0].reason == "MAC is missing or wrong"


_CONTRADICTION = "DE60 at byte 0: expected a code in 60.11 for DE22 03x alone"


@pytest.mark.parametrize("entry", ["012", "052", "072", "812", "912"])
def test_code_in_another_entry_mode_is_refused(
    network: Network, stranger: Stranger, entry: str
) -> None:
    stranger.manage(NetworkFunction.SIGN_ON)
    assert stranger.ask(fields_of(network.request()) | {"22": entry})["39"] == "30"
    assert network.reader.messages(limit=1)[0].reason == _CONTRADICTION


@pytest.mark.parametrize("initiation", [Initiation.CARD, Initiation.ONLINE], ids=str)
def test_code_payment_can_not_escape_the_limits_for_codes(
    network: Network, stranger: Stranger, initiation: Initiation
) -> None:
    stranger.manage(NetworkFunction.SIGN_ON)
    before = network.available()
    asked = fields_of(network.request(initiation=initiation))
    assert stranger.ask(asked)["39"] == "30"
    assert network.reader.messages(limit=1)[0].reason == _CONTRADICTION
    assert network.available() == before


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ({"t": "0300"}, "12"),
        ({"3": "990000"}, "12"),
        ({"22": "992"}, "30"),
        ({"49": "999"}, "30"),
        ({"4": "000000000000"}, "13"),
        ({"4": "999999999999"}, "13"),
        ({"7": "1399000000"}, "30"),
        ({"60": "1"}, "30"),
        ({"63": "TK"}, "30"),
        ({"55": "9F"}, "30"),
        ({"55": "9F2608"}, "30"),
        ({"52": "00" * 8}, "12"),
        ({"t": "0800", "48": "NK003ABC", "53": "2" + "0" * 15, "70": "101"}, "12"),
        ({"t": "0600", "48": "OP003ABC"}, "A0"),
        ({"t": "0420", "90": "0999" + "0" * 38}, "30"),
    ],
)
def test_malformed_message_is_answered_and_moves_no_money(
    network: Network, stranger: Stranger, damage: dict[str, str], code: str
) -> None:
    stranger.manage(NetworkFunction.SIGN_ON)
    before = network.reader.trial_balance()
    fields = fields_of(network.request()) | damage
    assert stranger.ask(fields)["39"] == code
    assert network.reader.trial_balance() == before
    assert network.code(network.request()) == "00"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x00",
        b"\xff\xff" + bytes(20),
        frame(b"GET / HTTP/1.1\r\n\r\n"),
        frame(b"0200" + bytes(8)),
    ],
)
def test_garbage_closes_the_connection_and_nothing_else(
    network: Network, stranger: Stranger, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    stranger.socket.sendall(sent)
    assert stranger.is_hung_up_on()
    assert network.code(network.request()) == "00"
    assert any("closed" in record.message for record in caplog.records)


def test_message_in_pieces_and_many_in_one_piece_are_the_same(
    network: Network, stranger: Stranger
) -> None:
    stranger.manage(NetworkFunction.SIGN_ON)
    messages = [frame(pack(fields_of(network.request()))) for _ in range(5)]
    for byte in messages[0]:
        stranger.socket.sendall(bytes((byte,)))
    assert stranger.receive()["39"] == "00"
    stranger.socket.sendall(b"".join(messages[1:]))
    assert [stranger.receive()["39"] for _ in range(4)] == ["00"] * 4


def test_half_closed_connection_still_gets_its_answers(
    network: Network, stranger: Stranger
) -> None:
    stranger.manage(NetworkFunction.SIGN_ON)
    stranger.send(fields_of(network.request()))
    stranger.socket.shutdown(socket.SHUT_WR)
    assert stranger.receive()["39"] == "00"
    assert stranger.is_hung_up_on()


def test_client_that_reads_nothing_does_not_hold_up_the_others(
    network: Network, stranger: Stranger
) -> None:
    stranger.manage(NetworkFunction.SIGN_ON)
    echo = NetworkMessage(
        function=NetworkFunction.ECHO,
        stan=5,
        transmitted_at=network.clock(),
        participant="90020001",
    )
    many = frame(pack(fields_of(echo))) * 500
    stranger.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        for _ in range(400):
            stranger.socket.sendall(many)
    assert network.code(network.request()) == "00"


def test_many_threads_share_one_connection(network: Network) -> None:
    before = network.available()
    requests = [network.request(amount=100 + n) for n in range(60)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(network.client.authorize, requests))
    assert {one.response.response_code for one in answers} == {"00"}
    assert [one.response.stan for one in answers] == [one.stan for one in requests]
    assert network.available() == before - sum(one.amount_minor for one in requests)


def test_same_message_from_several_connections_posts_once(network: Network) -> None:
    request = network.request()
    before = network.available()
    keys = KeyStore(network.home)
    clients = [
        SwitchClient(
            lambda: find_switch(network.home, network.url),
            demo_participants().by_id["market-acquirer"],
            lambda: keys.zone_key("market-acquirer"),
            clock=network.clock,
        )
        for _ in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        codes = sorted(pool.map(lambda one: one.authorize(request).response.response_code, clients))
    for client in clients:
        client.close()
    assert codes == ["00", "94", "94", "94"]
    assert network.available() == before - request.amount_minor


def test_no_switch_means_not_sent_and_an_end_in_between_no_answer(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    url = f"sqlite:///{tmp_path / 'checkout.db'}"
    lonely = SwitchClient(
        lambda: find_switch(tmp_path, url),
        demo_participants().by_id["market-acquirer"],
        lambda: keys.zone_key("market-acquirer"),
    )
    with pytest.raises(NotSent, match="no switch"):
        lonely.echo()
    faults = parse_faults('[[fault]]\ndrop = "answer"\n')
    silence = pytest.raises(NoAnswer, match=r"no answer within 0\.2 s")
    with running_network(tmp_path, faults=faults) as network, silence:
        network.client.authorize(network.request(), timeout_s=0.2)
    with pytest.raises(NotSent):
        network.client.echo()


def test_client_finds_the_next_switch_by_itself(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'checkout.db'}"
    keys = KeyStore(tmp_path)
    with running_network(tmp_path) as first:
        client = SwitchClient(
            lambda: find_switch(tmp_path, url),
            demo_participants().by_id["market-acquirer"],
            lambda: keys.zone_key("market-acquirer"),
            clock=first.clock,
        )
        request = first.request()
        assert client.authorize(request).response.approved
    with pytest.raises(NotSent):
        client.echo()
    with running_network(tmp_path) as second:
        assert client.authorize(second.request(stan=777)).response.approved
        again = replace(request, transmitted_at=request.transmitted_at)
        assert client.authorize(again).response.response_code == "94"
    client.close()


def test_one_switch_a_database_and_a_dead_ones_note_counts_for_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'checkout.db'}"
    with running_network(tmp_path):
        with pytest.raises(SwitchRunning):
            SwitchServer.open(tmp_path, url)
        assert find_switch(tmp_path, str(tmp_path / "checkout.db")) == find_switch(tmp_path, url)
        note = next((tmp_path / "switch").glob("*.json"))
        assert note.stat().st_mode & 0o077 == 0
        left = note.read_text()
    assert find_switch(tmp_path, url) is None
    note.write_text(left)  # as a killed switch would have left it
    assert find_switch(tmp_path, url) is None
    seat = take_seat(tmp_path, url)
    assert not note.exists()
    seat.leave()


def test_looking_for_a_switch_does_not_keep_one_from_starting(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'checkout.db'}"
    take_seat(tmp_path, url).leave()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            find_switch(tmp_path, url)

    watchers = [threading.Thread(target=look) for _ in range(4)]
    for one in watchers:
        one.start()
    try:
        for _ in range(20):
            take_seat(tmp_path, url).leave()
    finally:
        done.set()
        for one in watchers:
            one.join()


def test_processes_that_look_at_once_do_not_take_each_other_for_a_switch(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'checkout.db'}"
    seat = take_seat(tmp_path, url)
    seat.publish(("127.0.0.1", 1))
    left = seat.note.read_text()
    seat.leave()
    seat.note.write_text(left)  # a dead switch's note, with the number of a process that lives
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: find_switch(tmp_path, url), range(2000)))
    assert found == {None}


def test_own_switch_starts_where_none_runs_and_others_join_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'checkout.db'}"
    first = open_client(tmp_path, url)
    second = open_client(tmp_path, url)
    assert first.echo() > 0 and second.echo() > 0
    second.close()
    first.close()
    first.close()
    assert find_switch(tmp_path, url) is None
    with pytest.raises(NotSent, match="closed"):
        first.echo()


def test_stopping_switch_answers_what_it_was_sent(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'checkout.db'}"
    server = SwitchServer.open(tmp_path, url)
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    client = open_client(tmp_path, url, start=False)
    client.echo()
    network = Network(home=tmp_path, url=url, clock=server.clock, client=client, reader=None)  # type: ignore[arg-type]
    requests = [network.request() for _ in range(100)]
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(client.authorize, one) for one in requests]
        time.sleep(0.01)
        stop.set()
        server.wake()
        results = [one.exception() or one.result().response.response_code for one in answers]
    thread.join(10)
    client.close()
    approved = results.count("00")
    assert approved + sum(isinstance(one, NotSent) for one in results) == len(results)
    assert not any(isinstance(one, NoAnswer) for one in results)


def test_failing_disk_answers_96_and_the_switch_goes_on(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    from checkout.clearing.store.sqlite import SqliteEngine
    from checkout.database import DatabaseError

    network.code(network.request())
    before = network.available()

    def full(*_: object) -> None:
        raise DatabaseError("database: the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(SqliteEngine, "write", full)
        request = network.request()
        assert network.code(request) == "96"
    assert network.available() == before
    assert network.code(request) == "00"
    assert network.available() == before - request.amount_minor


def test_pin_block_of_another_session_is_refused_without_counting_a_try(network: Network) -> None:
    request = network.request(pin_block=bytes(8))
    assert network.code(request) == "12"
    block = network.client.encrypt_pin(PIN, DEBIT)
    assert network.code(network.request(pin_block=block)) == "00"


@pytest.mark.parametrize(
    ("rules", "amount", "code"),
    [
        ("customary_amounts = true", 1205, "05"),
        ("customary_amounts = true", 1251, "51"),
        ("customary_amounts = true", 1254, "54"),
        ("customary_amounts = true", 1255, "55"),
        ("customary_amounts = true", 1261, "61"),
        ("customary_amounts = true", 1291, "91"),
        ("customary_amounts = true", 1294, "94"),
        ("customary_amounts = true", 1296, "96"),
        ("customary_amounts = true", 1200, "00"),
        ("customary_amounts = false", 1251, "00"),
        ('[[fault]]\ncode = "43"\nmatch = { account = "999901*" }', 100, "43"),
        ('[[fault]]\ncode = "43"\nmatch = { account = "999902*" }', 100, "00"),
        ('[[fault]]\ncode = "98"\nmatch = { type = "purchase", mcc = "5812" }', 100, "98"),
    ],
)
def test_fault_rules_decide_the_answer(tmp_path: Path, rules: str, amount: int, code: str) -> None:
    with running_network(tmp_path, faults=parse_faults(rules)) as network:
        before = network.available()
        assert network.code(network.request(amount=amount)) == code
        assert network.available() == before - (amount if code == "00" else 0)


def test_dropped_request_moves_nothing_and_dropped_answer_is_found_by_its_reversal(
    tmp_path: Path,
) -> None:
    rules = parse_faults(
        '[[fault]]\ndrop = "request"\nmatch = { amount_minor = 1 }\n'
        '[[fault]]\ndrop = "answer"\nmatch = { amount_minor = 2, type = "purchase" }\n'
    )
    with running_network(tmp_path, faults=rules) as network:
        before = network.available()
        for amount, reversed_code in ((1, "25"), (2, "00")):
            request = network.request(amount=amount)
            with pytest.raises(NoAnswer):
                network.client.authorize(request, timeout_s=0.2)
            assert network.available() == before - (amount - 1) * 2
            if amount == 1:
                continue
            reversal = network.client.reverse(request, timeout_s=1)
            assert reversal.response.response_code == reversed_code
        assert network.available() == before


def test_late_duplicated_and_spoilt_answers_do_not_confuse_the_client(tmp_path: Path) -> None:
    rules = parse_faults(
        "[[fault]]\ndelay_ms = 300\nmatch = { amount_minor = 1 }\n"
        "[[fault]]\nduplicate = true\nmatch = { amount_minor = 2 }\n"
        "[[fault]]\nmalformed = true\ntimes = 1\nmatch = { amount_minor = 3 }\n"
        "[[fault]]\nmac = true\ntimes = 1\nmatch = { amount_minor = 4 }\n"
    )
    with running_network(tmp_path, faults=rules) as network:
        late = network.request(amount=1)
        with pytest.raises(NoAnswer):
            network.client.authorize(late, timeout_s=0.05)
        assert network.client.operate("idle") == {"in_flight": 1}
        network.client.wait_until_idle(timeout_s=5)
        assert [network.code(network.request(amount=2)) for _ in range(2)] == ["00", "00"]
        for amount in (3, 4):
            request = network.request(amount=amount)
            with pytest.raises(NoAnswer):
                network.client.authorize(request, timeout_s=1)
            assert network.code(request) == "94"
            assert network.client.reverse(request).response.response_code == "00"


@pytest.mark.parametrize(
    "rules",
    [
        "fault = 1",
        "faults = []",
        "[[fault]]\nmatch = { pan = 1 }",
        "[[fault]]\nname = 'x'",
        "[[fault]]\ncode = 'ZZ'",
        "[[fault]]\ndrop = 'all'",
        "[[fault]]\ndelay_ms = -1",
        "fault = [1]",
        "[[fault]]\nmatch = 5\ncode = '51'",
        "[[fault]]\nspeed = 1\ncode = '05'",
        "not toml",
    ],
)
def test_wrong_fault_rules_are_told_in_one_line(rules: str) -> None:
    with pytest.raises(FaultsError) as caught:
        parse_faults(rules)
    assert "\n" not in str(caught.value)


def test_operation_needs_the_sender_to_be_signed_on(network: Network, stranger: Stranger) -> None:
    operation = Operation(
        name="idle",
        arguments="{}",
        stan=9,
        transmitted_at=network.clock(),
        participant="90020001",
    )
    assert stranger.ask(fields_of(operation))["39"] == "12"
    stranger.manage(NetworkFunction.SIGN_ON)
    assert stranger.ask(fields_of(operation))["39"] == "A0"
