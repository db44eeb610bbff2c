"""Who may see anything at all: one check in front of every address, of Flower's and of ours.

Flower's own login leaves its /metrics and its static files open.
"""

import base64
import binascii
import hmac

from tornado.httputil import HTTPServerRequest, split_host_and_port
from tornado.web import RequestHandler

from agewell.shared.setting_types import is_loopback

OPEN = "/healthcheck"
"""Says OK and no more, to whoever asks."""


class Gate:
    """Admits requests with the login; without one, those that came by a loopback name."""

    def __init__(self, login: str | None) -> None:
        self._login = None if login is None else login.encode()

    def refusal(self, request: HTTPServerRequest) -> int | None:
        """The status to refuse a request with; None where it may pass."""
        if self._login is None:
            # A page elsewhere may let its own name point at 127.0.0.1 and then read what we show.
            return None if is_loopback(split_host_and_port(request.host)[0]) else 403
        given = _credentials(request.headers.get("Authorization", ""))
        return None if hmac.compare_digest(given, self._login) else 401


def _credentials(header: str) -> bytes:
    """`user:password` of an Authorization header (RFC 7617); empty where there is none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


class Refused(RequestHandler):
    """Answers what may not pass, whatever it asked for."""

    def initialize(self, status: int) -> None:
        """Keep the status to answer with."""
        self._status = status

    def check_xsrf_cookie(self) -> None:
        """Nothing happens here that a page elsewhere could want."""

    def prepare(self) -> None:
        """Answer, before any method of the handler runs."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_status(self._status)
        if self._status == 401:
            self.set_header("WWW-Authenticate", 'Basic realm="agewell", charset="UTF-8"')
            self.finish("A user name and a password are needed.\n")
        else:
            self.finish(
                "Without AGEWELL_FLOWER_PASSWORD only this machine's own names are answered to.\n"
            )
