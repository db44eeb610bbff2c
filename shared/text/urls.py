"""Checks of Redis and blob store URLs, and the removal of their passwords for display.

Three libraries read the Redis URL: redis-py, kombu and Celery's result backend. Each accepts more
URLs than the checks here, but they disagree about some. For `redis://host?db=5`, redis-py uses
database 5 and kombu database 0. A URL is accepted only if all three read it alike.
"""

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

REDIS_SCHEMES = ("redis://", "rediss://", "unix://", "sentinel://")
SENTINELS_SEPARATOR = ";"
HIDDEN = "**"

_PERCENT_ENCODED = (
    "in a user name or password, write % as %25, @ as %40, : as %3A, / as %2F, ? as %3F, "
    "# as %23 and ; as %3B"
)
_DATABASE = re.compile(r"(/[0-9]{0,9})?")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_BLOB_PART = re.compile(r"[a-z][a-z0-9+.-]*(://|$)")
_RELATIVE = re.compile(r"(file|local)://(?!/)")
_NEXT_SENTINEL = re.compile(rf"{SENTINELS_SEPARATOR}(?=sentinel://)")
_CERT_REQS = ("none", "optional", "required")
_SSL_PATHS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_SSL_NAMES = ("ssl_cert_reqs", "ssl_check_hostname", *_SSL_PATHS)


def check_redis_url(url: str) -> None:
    """Check that redis-py, kombu and Celery's result backend read a URL alike.

    Raises:
        ValueError: they do not. The text says why. It repeats no part of the URL, because a
            password that is not percent-encoded may be in any part.
    """
    if not url.startswith(REDIS_SCHEMES):
        raise ValueError(f"must begin with one of {', '.join(REDIS_SCHEMES)}")
    if _UNPRINTABLE.search(url):
        raise ValueError("must have no spaces and no control characters; write a space as %20")
    if url.startswith("sentinel://"):
        _check_sentinels(url.split(SENTINELS_SEPARATOR))
    elif SENTINELS_SEPARATOR in url:
        raise ValueError(f"must have no ';' unless it names sentinels; {_PERCENT_ENCODED}")
    elif url.startswith("unix://"):
        _check_unix(_split(url))
    else:
        _check_tcp(_split(url))


def _split(url: str) -> SplitResult:
    """Split a URL into its parts, or raise a ValueError that shows nothing of it."""
    try:
        parts = urlsplit(url)
        bad = "#" in url or parts.port == 0
        unquote(parts.netloc + parts.path, errors="strict")
    except ValueError:
        # Not chained: urllib's reason shows parts of the URL.
        bad = True
    if bad:
        raise ValueError(
            "cannot be read as a URL (an unencoded password, or a port that is not between 1 and "
            f"65535?); {_PERCENT_ENCODED}"
        )
    return parts


def _check_tcp(parts: SplitResult) -> None:
    _check_host(parts)
    if not parts.query:
        return
    if parts.scheme != "rediss":
        raise ValueError(
            "must have no options after '?': give the database as a path, such as /5, and user and "
            f"password in front of the host, as USER:PASSWORD@; {_PERCENT_ENCODED}"
        )
    _check_ssl(_options(parts))


def _check_host(parts: SplitResult) -> None:
    if not parts.hostname:
        raise ValueError(f"must name a host; {_PERCENT_ENCODED}")
    if not _DATABASE.fullmatch(parts.path):
        raise ValueError(
            f"must end with the number of a database, such as /0, or have no path at all; "
            f"{_PERCENT_ENCODED}"
        )


def _check_unix(parts: SplitResult) -> None:
    if parts.hostname or parts.path.startswith("//") or parts.path in ("", "/"):
        raise ValueError("must have the absolute path of a socket: unix:///path/redis.sock?db=0")
    options = _options(parts)
    if set(options) - {"db"} or not re.fullmatch("[0-9]{1,9}", options.get("db", "0")):
        raise ValueError("must have no option but the number of a database, ?db=0")


def _check_sentinels(urls: list[str]) -> None:
    """Check that each Sentinel's URL has the login and database of the first, or none."""
    if not all(url.startswith("sentinel://") for url in urls):
        raise ValueError("must have sentinel:// in front of each of the hosts between the ';'")
    found = [_split(url) for url in urls]
    for each in found:
        _check_host(each)
        if each.port is None:
            raise ValueError("must have a port for each sentinel, such as :26379")
        if each.query:
            raise ValueError("must have no options after '?' if it names sentinels")
    for place in ("username", "password", "path"):
        first, *others = [(getattr(each, place) or "").strip("/") for each in found]
        if any(other not in ("", first) for other in others):
            raise ValueError("must have the same user, password and database for all sentinels")


def _options(parts: SplitResult) -> dict[str, str]:
    """Return the options behind '?'. Each must occur once and have a value."""
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) < len(pairs) or not all(options.values()):
        raise ValueError("must have each option after '?' once, and with a value")
    return options


def _check_ssl(options: dict[str, str]) -> None:
    if not set(options) <= {*_SSL_NAMES}:
        raise ValueError(f"may have only {', '.join(_SSL_NAMES)} after '?'")
    if options.get("ssl_cert_reqs", "none") not in _CERT_REQS:
        raise ValueError(f"must have ssl_cert_reqs as one of {', '.join(_CERT_REQS)}")
    if options.get("ssl_check_hostname", "true") not in ("true", "false"):
        raise ValueError("must have ssl_check_hostname as true or false")
    if any("%" in options.get(name, "") for name in _SSL_PATHS):
        raise ValueError("must have no % in the paths of certificates")


def check_blob_url(url: str) -> None:
    """Check that a URL names a blob store, and the same one in every process.

    Raises:
        ValueError: it does not. The text repeats no part of the URL.
    """
    if url == "redis":
        return
    for part in url.split("::"):  # fsspec's way to name a cache in front of a store
        if _RELATIVE.match(part):
            raise ValueError("must have an absolute path, such as file:///srv/blobs")
        if not _BLOB_PART.match(part) or "://" not in url:
            raise ValueError(
                f"must be `redis` or a URL such as file:///srv/blobs; {_PERCENT_ENCODED}"
            )


def without_password(url: str) -> str:
    """Return a URL, or several Sentinels' URLs, without user names and passwords."""
    return SENTINELS_SEPARATOR.join(map(_without_login, _each_of(url)))


def _each_of(url: str) -> list[str]:
    """Split several Sentinels' URLs. Do not split others: a password may have a semicolon."""
    return _NEXT_SENTINEL.split(url)


def _without_login(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    # A password that is not percent-encoded may have a slash, so cut at the last @.
    host = rest if scheme in _FILE_SCHEMES else rest.rpartition("@")[2]
    authority, slash, path = host.partition("/")
    path, mark, query = path.partition("?")
    kept = "&".join(part for part in query.split("&") if not _SECRET.search(part))
    authority = authority.rpartition("@")[2]
    return f"{scheme}://{authority}{slash}{path}{mark if kept else ''}{kept}"


_FILE_SCHEMES = ("file", "local", "unix", "redis+socket")
"""Schemes whose paths may have an @."""


_SECRET = re.compile("pass|secret|token|key=|signature|credential", re.IGNORECASE)


def scrubbed(text: str, url: str) -> str:
    """Return a text, such as a library's error, without the passwords of a URL it may repeat."""
    for secret in sorted(_secrets_of(url), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _secrets_of(url: str) -> set[str]:
    """Return a URL's passwords, raw and percent-decoded, with and without the user name."""
    found = set()
    for each in _each_of(url):
        scheme, _, rest = each.partition("://")
        before_path = rest.partition("/")[0] if scheme in _FILE_SCHEMES else rest
        login = before_path.rpartition("@")[0]
        query = each.partition("?")[2]
        found |= {login, login.partition(":")[2]}
        found |= {value for name, value in parse_qsl(query) if _SECRET.search(f"{name}=")}
    return {form for secret in found for form in (secret, unquote(secret)) if form}
