"""Asks the dashboard's own WSGI application, without a browser or a server."""

from __future__ import annotations

import io
import json
from typing import Any

import optuna
import optuna_dashboard


def study_detail(study: optuna.Study) -> dict[str, Any]:
    """Return what the dashboard's API says of ``study``."""
    status: list[str] = []
    environment = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": f"/api/studies/{study._study_id}",
        "QUERY_STRING": "after=0",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
    }
    application = optuna_dashboard.wsgi(study._storage)
    body = b"".join(application(environment, lambda code, *_: status.append(code)))
    assert status[0].startswith("200"), body
    answer: dict[str, Any] = json.loads(body)
    return answer
