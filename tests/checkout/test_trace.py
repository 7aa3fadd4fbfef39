"""Steps of a payment: their JSON both ways, and the trace that collects them."""

from __future__ import annotations

import json

import pytest

from checkout.trace import Step, Trace, numbered, steps_from_json, steps_to_json

PLAIN = {
    "n": 1,
    "at_ms": 0.5,
    "from": "phone",
    "to": "shop",
    "what": "GET the page",
    "bytes_sent": 120,
    "bytes_received": 4000,
    "took_ms": 3.25,
    "nature": "measured",
}
MARKED = PLAIN | {"certain": "payer", "detail": {"request": "GET /p/ABCD…", "status": 200}}


@pytest.mark.parametrize("shown", [PLAIN, MARKED])
def test_a_step_comes_back_from_its_json_key_for_key(shown: dict[str, object]) -> None:
    again = Step.from_json(shown).as_json()
    assert json.dumps(again) == json.dumps(shown)


def test_times_are_shown_to_the_microsecond() -> None:
    step = Step(n=1, at_ms=1.23456, source="a", target="b", what="c", took_ms=2.00049)
    assert (step.as_json()["at_ms"], step.as_json()["took_ms"]) == (1.235, 2.0)


def test_stored_steps_are_compact_json_and_load_again() -> None:
    steps = (Step.from_json(PLAIN), Step.from_json(MARKED))
    text = steps_to_json(steps)
    assert text == json.dumps([PLAIN, MARKED], separators=(",", ":"))
    assert steps_from_json(text) == steps


def test_a_row_of_before_the_later_fields_loads() -> None:
    old = {key: PLAIN[key] for key in ("n", "at_ms", "from", "to", "what")}
    (step,) = steps_from_json(json.dumps([old | {"bytes_sent": 1, "bytes_received": 0}]))
    assert (step.took_ms, step.nature, step.detail, step.certain) == (0.0, "measured", {}, None)


def test_what_is_no_list_of_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="from"):
        steps_from_json('[{"n":1,"at_ms":0.0,"to":"shop","what":"x"}]')


def test_a_resumed_trace_goes_on_counting_and_timing() -> None:
    first = Step.from_json(PLAIN)
    trace = Trace(monotonic=lambda: 100.0, began_s_ago=2.0, steps=[first])
    trace.record("shop", "switch", "purchase")
    assert trace.steps()[0] is first
    assert (trace.steps()[1].n, trace.steps()[1].at_ms) == (2, 2000.0)


def test_steps_are_numbered_in_the_order_given() -> None:
    later, earlier = Step.from_json(MARKED), Step.from_json(PLAIN)
    assert [step.n for step in numbered([later, earlier])] == [1, 2]
