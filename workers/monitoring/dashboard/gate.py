"""Access control: one check in front of every address, of Flower's pages and of ours.

Flower's own login does not protect its /metrics and its static files.
"""

import base64
import binascii
import hmac

from tornado.httputil import HTTPServerRequest, split_host_and_port
from tornado.web import RequestHandler

from agewell.shared.setting_types import is_loopback

OPEN_PATH = "/healthcheck"
"""The only address without a check. It answers OK."""


class Gate:
    """Admits requests that have the login.

    If no login is set, admits requests to a loopback name.
    """

    def __init__(self, login: str | None) -> None:
        self._login = None if login is None else login.encode()

    def refusal(self, request: HTTPServerRequest) -> int | None:
        """Return the HTTP status to refuse a request with, or None if it may pass."""
        if self._login is None:
            # Another site may point its own name at 127.0.0.1 to read these pages (DNS rebinding).
            return None if is_loopback(split_host_and_port(request.host)[0]) else 403
        given = _credentials(request.headers.get("Authorization", ""))
        return None if hmac.compare_digest(given, self._login) else 401


def _credentials(header: str) -> bytes:
    """Return `user:password` from an Authorization header (RFC 7617), empty if there is none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


class Refused(RequestHandler):
    """Answers a request that may not pass, at any address."""

    def initialize(self, status: int) -> None:
        """Keep the status of the answer."""
        self._status = status

    def check_xsrf_cookie(self) -> None:
        """Skip the check: this handler changes nothing."""

    def prepare(self) -> None:
        """Answer before any method of the handler runs."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_status(self._status)
        if self._status == 401:
            self.set_header("WWW-Authenticate", 'Basic realm="agewell", charset="UTF-8"')
            self.finish("A user name and a password are needed.\n")
        else:
            self.finish(
                "Open this page as http://localhost or http://127.0.0.1, "
                "or set AGEWELL_FLOWER_PASSWORD to open it by another name.\n"
            )
