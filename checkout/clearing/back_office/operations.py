"""What the back office asks of the switch (0600): it alone writes the clearing tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import MessageContext
from checkout.clearing.back_office.card_enrolment import EnrolmentDesk
from checkout.clearing.back_office.dispute_operations import DisputeDesk
from checkout.clearing.back_office.store_and_forward import StoreAndForward
from checkout.clearing.back_office.token_operations import TokenDesk
from checkout.clearing.issuing.accounts import AccountStatus
from checkout.clearing.messages import Operation, PlainAnswer
from checkout.clearing.scheme.participants import Role
from checkout.clearing.settlement.disputes import Dispute, DisputeReason
from checkout.clearing.settlement.end_of_day import Closing
from checkout.clearing.settlement.files import SettlementFilesError

Given = dict[str, Any]
LONGEST_ANSWER = 3900


class OperationError(ValueError):
    """An operation that can't be done; the message is for the person who asked."""


class Operations:
    """Answers 0600 by the operation's name; arguments and answer are JSON objects.

    settle {date} · clock {at | advance_s} · idle · set-status {account, status} ·
    issuer-down {participant} · issuer-up {participant} · charge-back
    {rrn, reason, amount_minor} · represent {rrn} · decide {rrn, for_payer} · lapse {rrn} ·
    request-token {account, requestor, domain, merchant} · verify-token {payment_token, method,
    passed} · advance-token {payment_token, action} · token-keys {payment_token, kind,
    after} · personalise-token {payment_token} · enrol {account, last_four, balance_minor,
    account_class}
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._forwarding = StoreAndForward(backend)
        self._closing = Closing(backend)
        self._disputes = DisputeDesk(backend)
        tokens = TokenDesk(backend)
        self._by_name: dict[str, Callable[[Given, MessageContext], Given]] = {
            "settle": self._settle,
            "clock": self._clock,
            "idle": self._idle,
            "set-status": self._set_status,
            "issuer-down": self._issuer_down,
            "issuer-up": self._issuer_up,
            "charge-back": self._charge_back,
            "represent": lambda given, context: _told(
                self._disputes.represent(str(given["rrn"]), context)
            ),
            "decide": lambda given, context: _told(
                self._disputes.decide(
                    str(given["rrn"]), for_payer=given["for_payer"] is True, context=context
                )
            ),
            "lapse": lambda given, context: _told(self._disputes.lapse(str(given["rrn"]), context)),
            "request-token": tokens.request,
            "verify-token": tokens.verify,
            "advance-token": tokens.advance,
            "token-keys": tokens.keys,
            "personalise-token": tokens.personalise,
            "enrol": EnrolmentDesk(backend).enrol,
        }

    def answer(self, operation: Operation, context: MessageContext) -> PlainAnswer:
        """00 with what the operation returns, 12 with the reason in `error`."""
        run = self._by_name.get(operation.name)
        self._backend.store.commit()  # operations read the tables, and see all that came before
        try:
            if run is None:
                raise OperationError(f"there is none; known are {', '.join(self._by_name)}")
            given = json.loads(operation.arguments or "{}")
            if not isinstance(given, dict):
                raise OperationError("expected a JSON object")
            code, content = "00", run(given, context)
        except KeyError as error:
            self._backend.forget()
            code, content = "12", {"error": f"{operation.name}: {error.args[0]} is missing"}
        except (ValueError, TypeError, SettlementFilesError) as error:
            self._backend.forget()  # nothing of an operation that was broken off stays
            code, content = "12", {"error": f"{operation.name}: {error}"}
        text = json.dumps(content)
        if len(text) > LONGEST_ANSWER:
            text = json.dumps({"note": "done; the answer is too long for DE120 to 123"})
        return PlainAnswer(response_code=code, stan=operation.stan, content=text)

    def _settle(self, given: Given, context: MessageContext) -> Given:
        on = date.fromisoformat(given["date"]) if given.get("date") else context.business_date
        report = self._closing.close(on, context)
        for part in ("merchants", "positions"):  # the tables keep the whole
            if len(json.dumps(report)) > LONGEST_ANSWER:
                report[part] = []
        return report

    def _clock(self, given: Given, context: MessageContext) -> Given:
        del context
        clock = self._backend.clock
        if "at" in given:
            clock.set_to(datetime.fromisoformat(str(given["at"])))
        if "advance_s" in given:
            clock.advance(timedelta(seconds=float(given["advance_s"])))
        return {"now": clock().isoformat()}

    def _idle(self, given: Given, context: MessageContext) -> Given:
        del given, context
        return {"in_flight": self._backend.in_flight}

    def _set_status(self, given: Given, context: MessageContext) -> Given:
        del context
        number, status = str(given["account"]), AccountStatus(given["status"])
        if self._backend.accounts.state(number) is None:
            raise OperationError("no such account")
        self._backend.accounts.set_status(number, status)
        return {"status": status.value}

    def _issuer_down(self, given: Given, context: MessageContext) -> Given:
        del context
        self._backend.availability.set_down(self._issuer(given), down=True)
        return {"down": given["participant"]}

    def _issuer_up(self, given: Given, context: MessageContext) -> Given:
        return dict(self._forwarding.bring_up(self._issuer(given), context))

    def _issuer(self, given: Given) -> str:
        found = self._backend.participants.by_id.get(str(given["participant"]))
        if found is None or found.role not in (Role.ISSUER, Role.WALLET_OPERATOR):
            raise OperationError("participant: expected one that keeps accounts")
        return found.id

    def _charge_back(self, given: Given, context: MessageContext) -> Given:
        amount = given.get("amount_minor")
        return _told(
            self._disputes.charge_back(
                str(given["rrn"]),
                DisputeReason(given.get("reason", DisputeReason.FRAUD)),
                None if amount is None else int(amount),
                context,
            )
        )


def _told(dispute: Dispute) -> Given:
    return {
        "state": dispute.state.value,
        "amount_minor": dispute.amount_minor,
        "reason": dispute.reason.value,
        "answer_by": None if dispute.answer_by is None else dispute.answer_by.isoformat(),
    }
