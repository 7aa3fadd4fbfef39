"""Operations of the back office: their arguments, and the error for each wrong one."""

from __future__ import annotations

import pytest

from checkout.clearing.client.client import OperationFailed
from tests.checkout.clearing.network import DEBIT, Network

NEEDED = {
    "set-status": ("account", "status"),
    "issuer-down": ("participant",),
    "issuer-up": ("participant",),
    "charge-back": ("rrn",),
    "represent": ("rrn",),
    "decide": ("rrn", "for_payer"),
    "lapse": ("rrn",),
    "request-token": ("account", "requestor", "domain"),
    "verify-token": ("payment_token", "method", "passed"),
    "advance-token": ("payment_token", "action"),
    "token-keys": ("payment_token",),
    "personalise-token": ("payment_token",),
    "enrol": ("account", "last_four"),
}


@pytest.mark.parametrize(
    ("operation", "missing"),
    [(operation, name) for operation, names in NEEDED.items() for name in names],
)
def test_argument_that_is_missing_is_named(network: Network, operation: str, missing: str) -> None:
    others = {name: "x" for name in NEEDED[operation] if name != missing}
    with pytest.raises(OperationFailed, match=f"{operation}: {missing} is missing"):
        network.client.operate(operation, others)


def test_unknown_operation_is_refused_with_the_names_of_all(network: Network) -> None:
    with pytest.raises(OperationFailed, match="there is none") as refused:
        network.client.operate("open-sesame", {})
    for name in (*NEEDED, "settle", "clock", "idle"):
        assert name in str(refused.value)


def test_argument_that_no_operation_has_is_ignored(network: Network) -> None:
    asked = {"account": DEBIT, "status": "blocked", "colour": "blue"}
    assert network.client.operate("set-status", asked) == {"status": "blocked"}
