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
    """One method of one path; `problems` are the kinds of refusal that are its own."""

    method: str
    path: str
    id: str
    tag: str
    summary: str
    description: str
    answers: Mapping[int, Answer]
    body: type[Request] | None = None
    parameters: Sequence[str] = ()
    problems: Sequence[str] = ()

    @property
    def path_parameters(self) -> list[str]:
        """The names of the parameters in the path, in order."""
        return re.findall(r"{(\w+)}", self.path)


class Operations:
    """A blueprint under `/api/v1` whose routes are described as they are declared.

    Summary and description are the view's docstring.
    """

    def __init__(self, name: str, *, tag: str) -> None:
        self.blueprint = Blueprint(name, __name__, url_prefix=PREFIX)
        self.described: list[Operation] = []
        self._tag = tag

    def get(
        self,
        path: str,
        operation_id: str,
        answer: Answer,
        *,
        tag: str | None = None,
        parameters: Sequence[str] = (),
        problems: Sequence[str] = (),
    ) -> Callable[[View], View]:
        """A route that reads."""

        def register(view: View) -> View:
            self._describe(
                "GET", path, operation_id, view, {200: answer}, tag, parameters, problems
            )
            return self.blueprint.get(path)(view)

        return register

    def delete(
        self, path: str, operation_id: str, answer: Answer, *, problems: Sequence[str] = ()
    ) -> Callable[[View], View]:
        """A route that removes, and answers 204 with nothing."""

        def register(view: View) -> View:
            self._describe("DELETE", path, operation_id, view, {204: answer}, problems=problems)
            return self.blueprint.delete(path)(view)

        return register

    def post(
        self,
        path: str,
        operation_id: str,
        body: type[Body],
        answers: Mapping[int, Answer],
        *,
        problems: Sequence[str] = (),
        secret: bool = False,
    ) -> Callable[[Callable[..., Response]], View]:
        """A route that acts, once for each Idempotency-Key; its view takes the body first.

        With `secret` the stored response is encrypted.
        """

        def register(view: Callable[..., Response]) -> View:
            self._describe("POST", path, operation_id, view, answers, body=body, problems=problems)

            @wraps(view)
            def act(**in_path: str) -> Response:
                return once(body, lambda given: view(given, **in_path), secret=secret)

            return self.blueprint.post(path)(act)

        return register

    def _describe(
        self,
        method: str,
        path: str,
        operation_id: str,
        view: View,
        answers: Mapping[int, Answer],
        tag: str | None = None,
        parameters: Sequence[str] = (),
        problems: Sequence[str] = (),
        body: type[Request] | None = None,
    ) -> None:
        summary, _, rest = (inspect.getdoc(view) or "").partition("\n\n")
        self.described.append(
            Operation(
                method=method,
                path=PREFIX + _PARAMETER.sub(r"{\1}", path),
                id=operation_id,
                tag=tag or self._tag,
                summary=summary.rstrip("."),
                description=rest,
                answers=answers,
                body=body,
                parameters=parameters,
                problems=problems,
            )
        )


def reply(body: Struct, status: int = 200, *, location: str | None = None) -> Response:
    """`body` as the JSON response."""
    response = Response(msgspec.json.encode(body), status, mimetype="application/json")
    if location is not None:
        response.headers["Location"] = location
    return response
