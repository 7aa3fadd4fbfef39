"""What the back office asks of the switch (0600): it alone writes the clearing tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from checkout.clearing.accounts import AccountStatus
from checkout.clearing.backend import Backend, Turn
from checkout.clearing.messages import Operation, PlainAnswer

Answer = dict[str, Any]
LONGEST_ANSWER = 3900


class OperationError(ValueError):
    """An operation that can't be done; the message is for the person who asked."""


class Operations:
    """Answers 0600 by the operation's name; arguments and answer are JSON objects."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._by_name: dict[str, Callable[[Answer, Turn], Answer]] = {
            "block-account": self._block_account,
            "free-account": self._free_account,
        }

    def answer(self, operation: Operation, turn: Turn) -> PlainAnswer:
        """00 with what the operation returns, 12 with the reason in `error`."""
        run = self._by_name.get(operation.name)
        try:
            if run is None:
                raise OperationError(f"no operation {operation.name!r}")
            given = json.loads(operation.arguments or "{}")
            if not isinstance(given, dict):
                raise OperationError("expected a JSON object")
            code, content = "00", run(given, turn)
        except (ValueError, KeyError, TypeError) as error:
            code, content = "12", {"error": f"{operation.name}: {error}"}
        text = json.dumps(content)
        if len(text) > LONGEST_ANSWER:
            text = json.dumps({"note": "done; too long to be told here"})
        return PlainAnswer(response_code=code, stan=operation.stan, content=text)

    def _block_account(self, given: Answer, turn: Turn) -> Answer:
        return self._set_status(given, AccountStatus.BLOCKED)

    def _free_account(self, given: Answer, turn: Turn) -> Answer:
        return self._set_status(given, AccountStatus.ACTIVE)

    def _set_status(self, given: Answer, status: AccountStatus) -> Answer:
        number = str(given["account"])
        if self._backend.holders.state(number) is None:
            raise OperationError("no such account")
        self._backend.holders.set_status(number, status)
        return {"status": status.value}
