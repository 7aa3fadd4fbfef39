"""Every state of an order with everything that can happen to it, against a table of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, update

import checkout
from checkout.acceptance.contract import Mode
from checkout.database import micros, open_engine
from checkout.shop import tables
from checkout.shop.orders.orders import Orders
from checkout.shop.orders.states import OrderChange, OrderState, change_order
from checkout.shop.payments.payments import PaymentRecords, PaymentState, Source
from checkout.shop.shop import prepare_tables

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
HOLDER = "pay_holder"
AMOUNT = 1280

# What is expected of an order of 1280 that is held by HOLDER, has not run out, is by no sticker,
# was captured whole and of which nothing was refunded; the change is for HOLDER and 1280.
# (change, state before): (state after, event, why)
EXPECTED: dict[tuple[str, str], tuple[str, str | None, str]] = {
    ("renew code", "open"): ("open", "code-renewed", "only an order that waits needs a code"),
    ("cancel", "open"): ("cancelled", "order-cancelled", "nobody has been asked for money"),
    ("claim", "open"): ("authorizing", "order-authorizing", "the first payment takes it"),
    ("release", "authorizing"): ("open", None, "the payment failed: another may try"),
    ("pay", "authorizing"): ("paid", "order-paid", "the payment that holds it was approved"),
    ("preauthorise", "authorizing"): ("preauthorised", "order-paid", "the money is held only"),
    ("pay late", "authorizing"): ("paid-late", "order-paid-late", "the money will go back"),
    ("begin capture", "preauthorised"): ("authorizing", None, "one capture at a time"),
    ("capture", "authorizing"): ("paid", "order-paid", "the completion was approved"),
    ("decline capture", "authorizing"): ("preauthorised", "order-declined", "held as before"),
    ("begin refund", "paid"): ("paid", None, "reserved, and not given back yet"),
    ("refund", "paid"): ("refunded", "order-refunded", "all of it was given back"),
    ("refund", "partially-refunded"): ("refunded", "order-refunded", "the rest was given back"),
    ("refund", "refunded"): ("refunded", "order-refunded", "the sum of the approved decides"),
    ("refund", "disputed"): ("disputed", "order-refunded", "the dispute is still undecided"),
    ("decline refund", "paid"): ("refunded", None, "the sum of the approved decides"),
    ("decline refund", "partially-refunded"): ("refunded", None, "as of a paid order"),
    ("decline refund", "refunded"): ("refunded", None, "as of a paid order"),
    ("decline refund", "disputed"): ("disputed", None, "the dispute is still undecided"),
    ("begin refund", "partially-refunded"): ("partially-refunded", None, "some is left"),
    ("charge back", "paid"): ("disputed", "order-disputed", "the payer has the money"),
    ("charge back", "partially-refunded"): ("disputed", "order-disputed", "what is left of it"),
    ("win dispute", "disputed"): ("paid", "order-paid", "the shop has the money again"),
}


class Case:
    """One order in one state, and an approved refund of all of it beside."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.now = NOW
        orders = Orders(engine, clock=lambda: NOW)
        self.order = orders.create(amount_minor=AMOUNT)
        records = PaymentRecords(engine, lambda: NOW)
        source = Source(
            mode=Mode.QR, scheme="unionpay", account="9999011000000019", payer=None, emulated=True
        )
        row = records.new_row(self.order, "refund", source, records.numbers(), AMOUNT)
        self.refund_id = row["id"]
        with engine.begin() as connection:
            connection.execute(insert(tables.payments), row)
        self.put(payment_id=HOLDER, captured_minor=AMOUNT)
        self.approve_refunds(AMOUNT)

    def put(self, **values: Any) -> None:
        """Set columns of the order, past every rule."""
        with self.engine.begin() as connection:
            connection.execute(update(tables.orders).values(**values))

    def approve_refunds(self, amount_minor: int | None) -> None:
        """Approved refunds of that much; None for a refund that was declined."""
        state = PaymentState.DECLINED if amount_minor is None else PaymentState.APPROVED
        with self.engine.begin() as connection:
            connection.execute(
                update(tables.payments).values(state=state, amount_minor=amount_minor or AMOUNT)
            )

    def row(self) -> dict[str, Any]:
        """The order's row."""
        with self.engine.connect() as connection:
            return dict(connection.execute(select(tables.orders)).one()._mapping)

    def events(self) -> list[str]:
        """The kinds of the events after the order's creation."""
        with self.engine.connect() as connection:
            kinds = connection.execute(select(tables.events.c.kind).order_by(tables.events.c.n))
            return list(kinds.scalars())[1:]

    def change(
        self, what: OrderChange, *, payment_id: str = HOLDER, amount_minor: int = AMOUNT
    ) -> bool:
        with self.engine.begin() as connection:
            return change_order(
                connection,
                self.order.id,
                what,
                self.now,
                payment_id=payment_id,
                amount_minor=amount_minor,
                details={"seen": "details"},
            )


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One database for all of them: hundreds of files take longer than all of the tests."""
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('states') / 'checkout.db'}")
    prepare_tables(engine, NOW)
    yield engine
    engine.dispose()


@pytest.fixture
def case(engine: Engine) -> Case:
    with engine.begin() as connection:
        for table in (tables.events, tables.payments, tables.codes, tables.orders):
            connection.execute(delete(table))
    return Case(engine)


@pytest.mark.parametrize("before", list(OrderState))
@pytest.mark.parametrize("what", list(OrderChange))
def test_a_change_leads_where_the_table_says_or_changes_nothing(
    case: Case, what: OrderChange, before: OrderState
) -> None:
    case.put(state=before)
    row = case.row()
    expected = EXPECTED.get((what.value, before.value))
    assert case.change(what) == (expected is not None)
    if expected is None:
        assert (case.row(), case.events()) == (row, [])
    else:
        after, event, why = expected
        assert case.row()["state"] == after, why
        assert case.events() == ([] if event is None else [event]), why


def test_the_table_of_this_test_names_only_what_there_is() -> None:
    changes, states = {each.value for each in OrderChange}, {each.value for each in OrderState}
    assert {what for what, _ in EXPECTED} | {"expire"} == changes
    assert {before for _, before in EXPECTED} <= states
    assert {after for after, _, _ in EXPECTED.values()} <= states


@pytest.mark.parametrize("what", [OrderChange.CLAIM, OrderChange.RENEW_CODE])
def test_an_order_that_has_run_out_is_neither_claimed_nor_given_a_code(
    case: Case, what: OrderChange
) -> None:
    case.now = case.order.expires_at
    row = case.row()
    assert not case.change(what)
    assert (case.row(), case.events()) == (row, [])


@pytest.mark.parametrize("before", list(OrderState))
def test_only_an_open_order_whose_time_has_run_out_expires(case: Case, before: OrderState) -> None:
    case.put(state=before)
    assert not case.change(OrderChange.EXPIRE)
    case.now = case.order.expires_at
    assert case.change(OrderChange.EXPIRE) == (before is OrderState.OPEN)
    after = OrderState.EXPIRED if before is OrderState.OPEN else before
    assert case.row()["state"] == after
    assert case.events() == (["order-expired"] if before is OrderState.OPEN else [])


@pytest.mark.parametrize(
    "what",
    [OrderChange.RELEASE, OrderChange.PAY, OrderChange.PREAUTHORISE, OrderChange.PAY_LATE],
)
def test_a_payment_that_does_not_hold_the_order_cannot_end_it(
    case: Case, what: OrderChange
) -> None:
    case.put(state=OrderState.AUTHORIZING)
    row = case.row()
    assert not case.change(what, payment_id="pay_other")
    assert (case.row(), case.events()) == (row, [])


def test_a_claim_names_the_payment_and_a_release_forgets_it(case: Case) -> None:
    case.put(payment_id=None)
    assert case.change(OrderChange.CLAIM, payment_id="pay_new")
    assert case.row()["payment_id"] == "pay_new"
    assert case.change(OrderChange.RELEASE, payment_id="pay_new")
    assert (case.row()["state"], case.row()["payment_id"]) == ("open", None)


def test_a_released_order_by_a_sticker_is_cancelled(case: Case) -> None:
    case.put(state=OrderState.AUTHORIZING, static_code="STICKER")
    assert case.change(OrderChange.RELEASE)
    assert case.row()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("what", "before", "captured_minor"),
    [
        (OrderChange.PAY, OrderState.AUTHORIZING, 900),
        (OrderChange.CAPTURE, OrderState.AUTHORIZING, 900),
        (OrderChange.PREAUTHORISE, OrderState.AUTHORIZING, 0),
        (OrderChange.PAY_LATE, OrderState.AUTHORIZING, 0),
        (OrderChange.DECLINE_CAPTURE, OrderState.AUTHORIZING, 0),
    ],
)
def test_only_money_that_is_the_shop_s_counts_as_captured(
    case: Case, what: OrderChange, before: OrderState, captured_minor: int
) -> None:
    case.put(state=before, captured_minor=0)
    assert case.change(what, amount_minor=900)
    assert case.row()["captured_minor"] == captured_minor


@pytest.mark.parametrize("before", [OrderState.PAID, OrderState.PARTIALLY_REFUNDED])
def test_refunds_reserve_at_most_what_is_left(case: Case, before: OrderState) -> None:
    case.put(state=before, refunded_minor=280)
    row = case.row()
    assert not case.change(OrderChange.BEGIN_REFUND, amount_minor=1001)
    assert case.row() == row
    assert case.change(OrderChange.BEGIN_REFUND, amount_minor=1000)
    assert (case.row()["state"], case.row()["refunded_minor"]) == (before, 1280)


@pytest.mark.parametrize(
    "before", [OrderState.PAID, OrderState.PARTIALLY_REFUNDED, OrderState.DISPUTED]
)
def test_a_declined_refund_gives_its_reserve_back(case: Case, before: OrderState) -> None:
    case.put(state=before, refunded_minor=1280)
    assert case.change(OrderChange.DECLINE_REFUND, amount_minor=280)
    assert case.row()["refunded_minor"] == 1000


@pytest.mark.parametrize(
    ("approved_minor", "after"),
    [
        (None, OrderState.PAID),
        (1, OrderState.PARTIALLY_REFUNDED),
        (1279, OrderState.PARTIALLY_REFUNDED),
        (1280, OrderState.REFUNDED),
    ],
)
@pytest.mark.parametrize("what", [OrderChange.REFUND, OrderChange.DECLINE_REFUND])
@pytest.mark.parametrize("before", [OrderState.PAID, OrderState.PARTIALLY_REFUNDED])
def test_the_approved_refunds_decide_the_state(
    case: Case,
    before: OrderState,
    what: OrderChange,
    approved_minor: int | None,
    after: OrderState,
) -> None:
    case.put(state=before)
    case.approve_refunds(approved_minor)
    assert case.change(what)
    assert case.row()["state"] == after


def test_a_won_dispute_after_a_refund_leaves_the_order_partially_refunded(case: Case) -> None:
    case.put(state=OrderState.DISPUTED, refunded_minor=1)
    assert case.change(OrderChange.WIN_DISPUTE)
    assert case.row()["state"] == "partially-refunded"


def test_a_change_is_undone_with_the_caller_s_transaction(case: Case) -> None:
    row = case.row()
    with case.engine.connect() as connection:
        assert change_order(connection, case.order.id, OrderChange.CANCEL, NOW)
        connection.rollback()
    assert (case.row(), case.events()) == (row, [])


def test_another_order_is_left_alone(case: Case) -> None:
    other = Orders(case.engine, clock=lambda: NOW).create(amount_minor=1)
    case.change(OrderChange.CANCEL)
    assert Orders(case.engine, clock=lambda: NOW).get(other.id).state is OrderState.OPEN


def test_the_event_carries_the_details_and_the_moment(case: Case) -> None:
    case.now = NOW + timedelta(seconds=7)
    case.change(OrderChange.CANCEL)
    with case.engine.connect() as connection:
        row = connection.execute(select(tables.events).order_by(tables.events.c.n)).all()[-1]
    assert (row.payload, row.at) == ('{"seen":"details"}', micros(case.now))


# -- nobody else ----------------------------------------------------------------------------------


def updates_of_orders(source: str) -> list[int]:
    """The lines that build an UPDATE of the orders table, whatever name it goes by."""
    tree = ast.parse(source)
    names = {"tables.orders"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets = [t for target in node.targets for t in _parts(target)]
            values = _parts(node.value)
            names |= {
                ast.unparse(target)
                for target, value in zip(targets, values, strict=False)
                if ast.unparse(value) == "tables.orders"
            }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("update", "tables.orders.update")
        and (not node.args or ast.unparse(node.args[0]) in names)
    ]


def _parts(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]


def test_the_check_for_updates_finds_them_by_any_name() -> None:
    assert updates_of_orders("update(tables.orders).values(state=1)") == [1]
    assert updates_of_orders("table, codes = tables.orders, tables.codes\nupdate(table)") == [2]
    assert updates_of_orders("codes = tables.codes\nupdate(codes)") == []


def test_no_other_module_updates_orders() -> None:
    root = Path(checkout.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if updates_of_orders(path.read_text("utf-8"))
    }
    assert found == {"shop/orders/states.py"}
