"""The thread that owns a reader, and the reader over an air that misbehaves."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from devices.nfc.contract import CardGone, ReaderGone, TransportError
from devices.nfc.reader.air import Air, SelectedCard
from devices.nfc.reader.driver_thread import ReaderThread
from devices.nfc.reader.iso_dep import FrameTimeout
from devices.nfc.reader.reader import AirReader


def test_calls_run_in_order_on_one_thread() -> None:
    thread = ReaderThread("test")
    seen: list[int] = []
    for number in range(5):
        thread.post(lambda number=number: seen.append(number))  # type: ignore[misc]
    owner = thread.call(threading.current_thread, 1.0)
    assert seen == [0, 1, 2, 3, 4]
    assert owner is not threading.current_thread()
    thread.stop()
    assert not owner.is_alive()


def test_what_a_call_raises_reaches_the_caller() -> None:
    thread = ReaderThread("test")
    with pytest.raises(ZeroDivisionError):
        thread.call(lambda: 1 // 0, 1.0)
    with pytest.raises(TimeoutError, match="its own"):
        thread.call(lambda: (_ for _ in ()).throw(TimeoutError("its own")), 1.0)
    assert thread.call(lambda: 7, 1.0) == 7
    thread.stop()


def test_a_driver_that_hangs_is_given_up_and_said_so() -> None:
    thread, hold = ReaderThread("test"), threading.Event()
    with pytest.raises(ReaderGone, match="not answered"):
        thread.call(hold.wait, 0.02)
    assert thread.stuck
    with pytest.raises(ReaderGone, match="hangs"):
        thread.call(lambda: 1, 1.0)
    hold.set()
    thread.stop()


class ScriptedAir:
    """An air whose polling is a function, with a card that never answers frames."""

    name = "scripted"
    max_send = 254
    max_receive = 254

    def __init__(self, poll: Callable[[], SelectedCard | None]) -> None:
        self._poll = poll
        self.closed = 0

    def poll(self) -> SelectedCard | None:
        return self._poll()

    def send(self, frame: bytes, timeout_s: float) -> bytes:
        raise FrameTimeout

    def signal(self, result: str) -> None:
        return

    def close(self) -> None:
        self.closed += 1


def reader_on(*airs: ScriptedAir | TransportError, watchdog_s: float = 15.0) -> AirReader:
    offered = iter(airs)

    def open_air() -> Air:
        air = next(offered)
        if isinstance(air, TransportError):
            raise air
        return air

    return AirReader("test", open_air, emulated=True, watchdog_s=watchdog_s)


def lost() -> SelectedCard | None:
    raise ReaderGone


def nothing() -> SelectedCard | None:
    return None


def silent_card() -> SelectedCard | None:
    return SelectedCard(technology="A", uid=bytes(4), sak=0x20)


def test_a_reader_that_cannot_be_opened_leaves_no_thread() -> None:
    def open_air() -> Air:
        raise TransportError("no-reader", "none there")

    with pytest.raises(TransportError, match="none there"):
        AirReader("test-none", open_air, emulated=True)
    assert not any(each.name == "reader test-none" for each in threading.enumerate())


def test_a_card_that_never_activates_is_reported_after_three_attempts() -> None:
    polls: list[int] = []

    def poll() -> SelectedCard | None:
        polls.append(1)
        return silent_card()

    reader = reader_on(ScriptedAir(poll))
    with pytest.raises(CardGone, match="activated"):
        reader.wait_for_card(5.0)
    assert len(polls) == 3
    reader.close()


def test_a_lost_reader_is_closed_once_and_opened_again_when_it_is_back() -> None:
    first, second = ScriptedAir(lost), ScriptedAir(nothing)
    reader = reader_on(first, TransportError("no-reader", "not yet"), second)
    with pytest.raises(ReaderGone):
        reader.wait_for_card(0)
    assert first.closed == 1
    with pytest.raises(ReaderGone, match="not yet"):
        reader.wait_for_card(0)
    assert reader.wait_for_card(0) is None
    reader.close()
    assert second.closed == 1


def test_a_lost_reader_is_waited_for_within_the_time_given() -> None:
    reader = reader_on(
        ScriptedAir(lost), *[TransportError("no-reader", "not yet")] * 2, ScriptedAir(nothing)
    )
    with pytest.raises(ReaderGone):
        reader.wait_for_card(0)
    assert reader.wait_for_card(0.7) is None
    reader.close()


def test_closing_from_another_thread_ends_the_waiting() -> None:
    reader = reader_on(ScriptedAir(nothing))
    closer = threading.Timer(0.05, reader.close)
    closer.start()
    with pytest.raises(ReaderGone, match="closed"):
        reader.wait_for_card(10.0)
    closer.join()


def test_a_driver_that_hangs_is_replaced_by_a_new_one() -> None:
    hold = threading.Event()

    def hang() -> SelectedCard | None:
        hold.wait(5)
        return None

    reader = reader_on(ScriptedAir(hang), ScriptedAir(nothing), watchdog_s=0.05)
    with pytest.raises(ReaderGone, match="not answered"):
        reader.wait_for_card(0)
    assert reader.wait_for_card(0) is None
    hold.set()
    reader.close()
