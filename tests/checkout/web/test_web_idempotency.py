"""Stored answers: stored, replayed, released, interrupted, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Response
from sqlalchemy import Engine

from checkout.database import open_engine
from checkout.web.idempotency import StoredResponses, fingerprint
from checkout.web.problems import Problem


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(f"sqlite:///{tmp_path / 'answers.db'}")
    yield opened
    opened.dispose()


def answer(status: int, text: str = "done") -> Response:
    return Response(text, status, {"Location": "/x", "X-Other": "1"})


def test_an_answer_is_given_again_with_the_headers_that_matter(engine: Engine) -> None:
    StoredResponses(engine).once("api", "k", "f", lambda: answer(201))
    again = StoredResponses(engine).once("api", "k", "f", lambda: pytest.fail("worked twice"))
    assert (again.status_code, again.get_data(as_text=True), again.headers["Location"]) == (
        201,
        "done",
        "/x",
    )
    assert "X-Other" not in again.headers


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_what_may_be_tried_again_is_not_kept(engine: Engine, status: int) -> None:
    answers = StoredResponses(engine)
    answers.once("api", "k", "f", lambda: answer(status))
    assert answers.once("api", "k", "f", lambda: answer(200)).status_code == 200


@pytest.mark.parametrize("status", [200, 303, 409, 422, 504])
def test_what_is_settled_or_unknown_is_kept(engine: Engine, status: int) -> None:
    answers = StoredResponses(engine)
    answers.once("api", "k", "f", lambda: answer(status))
    assert answers.once("api", "k", "f", lambda: answer(200)).status_code == status


def test_scopes_do_not_share_keys(engine: Engine) -> None:
    answers = StoredResponses(engine)
    answers.once("api", "k", "f", lambda: answer(200, "api"))
    assert answers.once("payer", "k", "f", lambda: answer(200, "payer")).get_data() == b"payer"


def test_a_request_that_broke_off_is_never_worked_on_again(engine: Engine) -> None:
    clock = Clock()
    answers = StoredResponses(engine, clock=clock)

    def broken() -> Response:
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError):
        answers.once("api", "k", "f", broken)
    with pytest.raises(Problem) as soon:
        answers.once("api", "k", "f", lambda: pytest.fail("worked twice"))
    assert soon.value.kind == "request-under-way"
    clock.now += timedelta(seconds=61)
    with pytest.raises(Problem) as later:
        answers.once("api", "k", "f", lambda: pytest.fail("worked twice"))
    assert later.value.kind == "request-interrupted"


def test_another_request_under_the_key_is_refused_even_while_the_first_is_at_work(
    engine: Engine,
) -> None:
    answers = StoredResponses(engine)

    def meanwhile() -> Response:
        with pytest.raises(Problem) as refused:
            answers.once("api", "k", "other", lambda: answer(200))
        assert refused.value.kind == "key-reused"
        return answer(200)

    answers.once("api", "k", "f", meanwhile)


def test_answers_are_forgotten_after_a_week(engine: Engine) -> None:
    clock = Clock()
    answers = StoredResponses(engine, clock=clock)
    answers.once("api", "old", "f", lambda: answer(200))
    clock.now += timedelta(days=6)
    answers.once("api", "new", "f", lambda: answer(200))
    clock.now += timedelta(days=1, seconds=1)
    assert answers.delete_old() == 1
    assert answers.find("api", "old") is None
    assert answers.find("api", "new") is not None


def test_a_fingerprint_tells_where_one_part_ends() -> None:
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint("a", b"b") == fingerprint(b"a", "b")
