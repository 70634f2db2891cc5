"""/openapi.json and /docs, a page to try the calls, whose files all come from this service."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from flask import Flask, Response, request, send_from_directory
from werkzeug.exceptions import NotFound

# Addresses are relative, so that they hold below a path of another site, too.
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>sb_api: the calls</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<script src="docs/swagger-ui-bundle.js" defer></script>
<script src="docs/start.js" defer></script>
</head>
<body><main id="calls"></main></body>
</html>
"""
# Without `validatorUrl: null` the viewer would show a badge of another host.
START = """\
"use strict";
SwaggerUIBundle({
  url: "openapi.json", dom_id: "#calls", deepLinking: true, defaultModelsExpandDepth: 0, validatorUrl: null,
});
"""
SHIPPED = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
# The viewer sets styles of elements, and its style sheet holds its icons as data.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DAY = 86_400  # seconds


def add_docs(app: Flask, version: str) -> None:
    """Add the routes of the document and its page. The document is made when it is first asked for."""
    shipped = files("flask_swagger_ui") / "dist"

    @cache
    def document() -> dict[str, Any]:
        # The types that it is made from bring SQLAlchemy along, which a web process does without.
        from sb_api.web.openapi.document import build_document

        return build_document(app, version)

    @app.get("/openapi.json")
    def openapi() -> Response:
        """This document."""
        here = document() | {"servers": [{"url": request.script_root or "/"}]}
        return _cached(Response(msgspec.json.encode(here), mimetype="application/json"))

    @app.get("/docs")
    def docs() -> Response:
        """A page to read this document and to try the calls."""
        response = _cached(Response(PAGE, mimetype="text/html"))
        response.headers["Content-Security-Policy"] = POLICY
        return response

    @app.get("/docs/<name>")
    def docs_file(name: str) -> Response:
        """The files of the page."""
        if name == "start.js":
            return _cached(Response(START, mimetype="text/javascript"))
        if name not in SHIPPED:
            raise NotFound
        return send_from_directory(str(shipped), name, max_age=DAY)


def _cached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-cache"  # kept, but asked after each time
    response.add_etag()
    response.make_conditional(request)
    return response
