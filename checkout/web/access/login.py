"""The login page: an operator on another machine gives the password once for half a day."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, g, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from checkout.web.access.ended_sessions import SESSION_S
from checkout.web.access.guard import COOKIE, Visitor, open_to_all
from checkout.web.context import current_context
from checkout.web.problems import Problem, retry_after

blueprint = Blueprint("login", __name__)


@blueprint.get("/login")
@open_to_all
def login() -> ResponseReturnValue:
    """Ask for the operator's password."""
    target = safe_target(request.args.get("next"))
    if g.visitor is not Visitor.STRANGER:
        return redirect(target, 303)
    encrypted = current_context().guard.is_encrypted(request)
    return render_template("login.html", target=target, encrypted=encrypted)


@blueprint.post("/login")
@open_to_all
def sign_in() -> ResponseReturnValue:
    """Start a session for the right password, or show how long to wait."""
    guard = current_context().guard
    target = safe_target(request.form.get("next"))
    try:
        session = guard.sign_in(request.form.get("password", "")[:200], request.remote_addr)
    except Problem as problem:
        page = render_template(
            "login.html",
            target=target,
            encrypted=guard.is_encrypted(request),
            trouble=problem.detail,
        )
        response = make_response(page, problem.status)
        if problem.retry_after_s is not None:
            response.headers["Retry-After"] = retry_after(problem.retry_after_s)
        return response
    signed_in = redirect(target, 303)
    signed_in.set_cookie(
        COOKIE,
        session,
        max_age=SESSION_S,
        httponly=True,
        secure=guard.is_encrypted(request),
        samesite="Strict",
    )
    return signed_in


@blueprint.post("/logout")
@open_to_all
def sign_out() -> ResponseReturnValue:
    """End the operator's session; a copy of its cookie opens nothing any more."""
    current_context().guard.sign_out(request.cookies.get(COOKIE, ""))
    signed_out = redirect("/login", 303)
    signed_out.delete_cookie(COOKIE, httponly=True, samesite="Strict")
    return signed_out


def safe_target(wanted: str | None) -> str:
    """The path of this site to go to after the login; anything else becomes the counter."""
    if not wanted or not wanted.startswith("/") or wanted.startswith(("//", "/\\")):
        return "/"
    parsed = urlsplit(wanted)
    printable = wanted.isprintable() and "\\" not in wanted
    return wanted if printable and not parsed.netloc and not parsed.scheme else "/"
