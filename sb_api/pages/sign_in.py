"""Signing in and out of the page."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from sb_api.auth.access import current_identity, end_session, sign_in, start_session
from sb_api.errors import SbApiError
from sb_api.pages.blueprint import pages


@pages.get("/page/sign-in")
def show_sign_in() -> str:
    return render_template("sign_in.html", problem=None, name="", next=_own(request.args.get("next", "")))


@pages.post("/page/sign-in")
def do_sign_in() -> BaseResponse | tuple[str, int]:
    """Start a session, and go where the person wanted to."""
    name, wanted = request.form.get("name", "").strip(), _own(request.form.get("next", ""))
    try:
        identity = sign_in(name, request.form.get("secret", ""))
    except SbApiError as error:
        return render_template("sign_in.html", problem=error.problem(), name=name, next=wanted), error.status
    response = make_response(redirect(wanted, 303))
    start_session(response, identity)
    return response


@pages.post("/page/sign-out")
def do_sign_out() -> BaseResponse:
    current_identity()  # refuses what another site's page sends
    response = make_response(redirect(url_for("pages.show_sign_in"), 303))
    end_session(response)
    return response


def _own(address: str) -> str:
    """An address of this page; another site's is not followed."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return url_for("pages.checks.check_editors")
    # A backslash is a slash to browsers; a control character would end the header that the address goes into.
    sound = address.startswith("/") and not address.startswith("//") and address.isprintable() and "\\" not in address
    return address if sound and not (parts.scheme or parts.netloc) else url_for("pages.checks.check_editors")
