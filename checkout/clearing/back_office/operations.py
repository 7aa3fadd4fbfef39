"""What the back office asks of the switch (0600), the only process that writes the clearing tables.

`_table` lists every operation with its arguments.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import MessageContext
from checkout.clearing.back_office.card_enrolment import CardEnrolment
from checkout.clearing.back_office.dispute_operations import DisputeOperations
from checkout.clearing.back_office.store_and_forward import StoreAndForward
from checkout.clearing.back_office.token_operations import TokenOperations
from checkout.clearing.issuing.accounts import AccountStatus
from checkout.clearing.messages import Operation, PlainAnswer
from checkout.clearing.scheme.participants import Role
from checkout.clearing.settlement.end_of_day import EndOfDay
from checkout.clearing.settlement.files import SettlementFilesError

LONGEST_ANSWER = 3900
#: What names the sale of a dispute beside its RRN.
_SALE = ("acquirer", "merchant", "date")


class OperationError(ValueError):
    """An operation that can't be done; the message is for the person who asked."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """How one operation is run, and its arguments by name: needed ones, and those with a default.

    `run` takes arguments and gives back a result that JSON can carry. It raises ValueError or
    TypeError, with the argument's name, for one that it can't use.
    """

    run: Callable[[Mapping[str, Any], MessageContext], dict[str, Any]]
    needed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


class Operations:
    """Answers 0600 by the operation's name; arguments and answer are JSON objects."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._forwarding = StoreAndForward(backend)
        self._end_of_day = EndOfDay(backend)
        self._by_name = self._table()

    def answer(self, operation: Operation, context: MessageContext) -> PlainAnswer:
        """00 with the operation's result, 12 with the reason in `error`."""
        self._backend.store.commit()  # operations read the tables, with all that came before
        try:
            code, content = "00", self._run(operation, context)
        except (ValueError, TypeError, KeyError, SettlementFilesError) as error:
            self._backend.forget()  # nothing of an operation that was broken off stays
            code, content = "12", {"error": f"{operation.name}: {error}"}
        text = json.dumps(content)
        if len(text) > LONGEST_ANSWER:
            text = json.dumps({"note": "done; the answer is too long for DE120 to 123"})
        return PlainAnswer(response_code=code, stan=operation.stan, content=text)

    def _run(self, operation: Operation, context: MessageContext) -> dict[str, Any]:
        entry = self._by_name.get(operation.name)
        if entry is None:
            raise OperationError(f"there is none; known are {', '.join(self._by_name)}")
        arguments = json.loads(operation.arguments or "{}")
        if not isinstance(arguments, dict):
            raise OperationError("expected a JSON object")
        for name in entry.needed:
            if name not in arguments:
                raise OperationError(f"{name} is missing")
        known = (*entry.needed, *entry.optional)
        return entry.run({name: arguments[name] for name in known if name in arguments}, context)

    def _table(self) -> dict[str, _Entry]:
        disputes = DisputeOperations(self._backend)
        tokens = TokenOperations(self._backend)
        cards = CardEnrolment(self._backend)
        return {
            "settle": _Entry(self._settle, optional=("date",)),
            "clock": _Entry(self._clock, optional=("at", "advance_s")),
            "idle": _Entry(self._idle),
            "set-status": _Entry(self._set_status, ("account", "status")),
            "issuer-down": _Entry(self._issuer_down, ("participant",)),
            "issuer-up": _Entry(self._issuer_up, ("participant",)),
            "charge-back": _Entry(
                disputes.charge_back, ("rrn",), (*_SALE, "reason", "amount_minor")
            ),
            "represent": _Entry(disputes.represent, ("rrn",), _SALE),
            "decide": _Entry(disputes.decide, ("rrn", "for_payer"), _SALE),
            "lapse": _Entry(disputes.lapse, ("rrn",), _SALE),
            "request-token": _Entry(
                tokens.request, ("account", "requestor", "domain"), ("merchant", "expiry")
            ),
            "verify-token": _Entry(tokens.verify, ("payment_token", "method", "passed")),
            "advance-token": _Entry(tokens.advance, ("payment_token", "action")),
            "token-keys": _Entry(tokens.issue_keys, ("payment_token",), ("kind", "after")),
            "personalise-token": _Entry(tokens.personalise, ("payment_token",), ("aid",)),
            "enrol": _Entry(
                cards.enrol, ("account", "last_four"), ("balance_minor", "account_class")
            ),
        }

    def _settle(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        named = arguments.get("date")
        on = date.fromisoformat(named) if named else context.business_date
        report = self._end_of_day.close(on, context)
        for part in ("merchants", "positions"):  # the tables have the whole report
            if len(json.dumps(report)) > LONGEST_ANSWER:
                report[part] = []
        return report

    def _clock(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        del context
        clock = self._backend.clock
        if "at" in arguments:
            clock.set_to(datetime.fromisoformat(str(arguments["at"])))
        if "advance_s" in arguments:
            clock.advance(timedelta(seconds=float(arguments["advance_s"])))
        return {"now": clock().isoformat()}

    def _idle(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        del arguments, context
        return {"in_flight": self._backend.in_flight}

    def _set_status(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        del context
        number, status = str(arguments["account"]), AccountStatus(arguments["status"])
        if self._backend.accounts.state(number) is None:
            raise OperationError("no such account")
        self._backend.accounts.set_status(number, status)
        return {"status": status.value}

    def _issuer_down(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        del context
        self._backend.availability.set_down(self._issuer(arguments), down=True)
        return {"down": arguments["participant"]}

    def _issuer_up(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        return dict(self._forwarding.bring_up(self._issuer(arguments), context))

    def _issuer(self, arguments: Mapping[str, Any]) -> str:
        found = self._backend.participants.by_id.get(str(arguments["participant"]))
        if found is None or found.role not in (Role.ISSUER, Role.WALLET_OPERATOR):
            raise OperationError("participant: expected one that keeps accounts")
        return found.id
