"""Routes of the API that carry their own description: what they take, answer and refuse."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps

import msgspec
from flask import Blueprint, Response
from msgspec import Struct

from checkout.web.api.bodies import Request
from checkout.web.api.requests import Body, once

PREFIX = "/api/v1"
_PARAMETER = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")

View = Callable[..., Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One kind of success: a JSON body, or the media types of anything else.

    `located` answers name in `Location` where the result is read again.
    """

    description: str
    body: type[Struct] | None = None
    media_types: tuple[str, ...] = ()
    located: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one Flask rule; `problems` are the kinds of refusal that are its own.

    Summary and description are the docstring of its view.
    """

    method: str
    rule: str
    id: str
    tag: str
    view: View
    answers: Mapping[int, Answer]
    body: type[Request] | None = None
    parameters: Sequence[str] = ()
    problems: Sequence[str] = ()

    @property
    def path(self) -> str:
        """The path as OpenAPI writes it."""
        return PREFIX + _PARAMETER.sub(r"{\1}", self.rule)

    @property
    def path_parameters(self) -> list[str]:
        """The names of the parameters in the path, in order."""
        return _PARAMETER.findall(self.rule)

    @property
    def summary(self) -> str:
        """The first sentence of the view's docstring."""
        return (inspect.getdoc(self.view) or "").partition("\n\n")[0].rstrip(".")

    @property
    def description(self) -> str:
        """The rest of the view's docstring."""
        return (inspect.getdoc(self.view) or "").partition("\n\n")[2]


class Operations:
    """A blueprint under `/api/v1` whose routes are described as they are declared."""

    def __init__(self, name: str, *, tag: str) -> None:
        self.blueprint = Blueprint(name, __name__, url_prefix=PREFIX)
        self.described: list[Operation] = []
        self._tag = tag

    def get(
        self,
        rule: str,
        operation_id: str,
        answer: Answer,
        *,
        tag: str | None = None,
        parameters: Sequence[str] = (),
        problems: Sequence[str] = (),
    ) -> Callable[[View], View]:
        """A route that reads."""

        def register(view: View) -> View:
            operation = Operation(
                method="GET",
                rule=rule,
                id=operation_id,
                tag=tag or self._tag,
                view=view,
                answers={200: answer},
                parameters=parameters,
                problems=problems,
            )
            self.described.append(operation)
            return self.blueprint.get(rule)(view)

        return register

    def delete(
        self, rule: str, operation_id: str, answer: Answer, *, problems: Sequence[str] = ()
    ) -> Callable[[View], View]:
        """A route that removes, and answers 204 with nothing."""

        def register(view: View) -> View:
            operation = Operation(
                method="DELETE",
                rule=rule,
                id=operation_id,
                tag=self._tag,
                view=view,
                answers={204: answer},
                problems=problems,
            )
            self.described.append(operation)
            return self.blueprint.delete(rule)(view)

        return register

    def post(
        self,
        rule: str,
        operation_id: str,
        body: type[Body],
        answers: Mapping[int, Answer],
        *,
        problems: Sequence[str] = (),
        secret: bool = False,
    ) -> Callable[[View], View]:
        """A route that acts, once for each Idempotency-Key; its view takes the body first.

        With `secret` the stored response is encrypted.
        """

        def register(view: View) -> View:
            operation = Operation(
                method="POST",
                rule=rule,
                id=operation_id,
                tag=self._tag,
                view=view,
                answers=answers,
                body=body,
                problems=problems,
            )
            self.described.append(operation)

            @wraps(view)
            def act(**in_path: str) -> Response:
                return once(body, lambda request: view(request, **in_path), secret=secret)

            return self.blueprint.post(rule)(act)

        return register


def reply(body: Struct, status: int = 200, *, location: str | None = None) -> Response:
    """`body` as the JSON response."""
    response = Response(msgspec.json.encode(body), status, mimetype="application/json")
    if location is not None:
        response.headers["Location"] = location
    return response
