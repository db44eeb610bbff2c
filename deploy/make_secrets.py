"""Make the secrets of docker-compose.yml, in deploy/secrets/; those that are there are kept.

    python3 deploy/make_secrets.py

Redis's users, agewell's URL with the password of one of them, and Flower's password. `.env` beside
docker-compose.yml gets your user's number, so that results belong to you and your models can be
read. Configuration that containers read as another user is made readable.
"""

import argparse
import os
import re
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "secrets"
ENV_FILE = Path(__file__).parents[1] / ".env"
READ_BY_OTHERS = ("prometheus", "grafana")
"""Folders beside this file that programs in containers read as users of their own."""

CONNECTION = "+client|setname +client|getname +client|id +client|tracking"

DEFAULT_USER = "user default off ~* &* +@all\n"
"""Nobody can log in as the default user, but Redis 7.0 to 7.4.2 replays its append-only file with
this user's rights. Without rights the replay silently drops every transaction and every script."""

NO_RIGHTS = "user default off\n"
"""What an earlier version of this file wrote: a restart of such a Redis loses the waiting jobs."""

USERS = """\
{default}user health on nopass resetkeys resetchannels -@all +ping
user agewell on >{password} ~* &* +@all -@admin -@dangerous +info {connection}
"""
"""No login without a name; a health check that may do nothing else; and agewell, which can neither
change Redis's settings nor list or flush what is not its own."""


def main(words: list[str]) -> int:
    """Make what is missing. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "folder", type=Path, nargs="?", help="where to put the secrets alone, without `.env`"
    )
    folder: Path | None = parser.parse_args(words).folder
    try:
        if folder is None:
            write_user(ENV_FILE, ENV_FILE.parent)
            for name in READ_BY_OTHERS:
                make_readable(Path(__file__).parent / name)
        write_secrets(folder or FOLDER)
    except OSError as error:
        sys.stderr.write(f"error: {error.filename}: {error.strerror}\n")
        return 1
    return 0


def write_secrets(folder: Path) -> None:
    """Write the secrets that are missing or empty, and mend what earlier versions wrote."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    users, url = folder / "redis_users.acl", folder / "agewell_redis_url"
    password = _password(users, url) or secrets.token_urlsafe(32)
    made = {
        users: USERS.format(default=DEFAULT_USER, password=password, connection=CONNECTION),
        url: f"redis://agewell:{password}@redis:6379/0\n",
        folder / "agewell_flower_password": secrets.token_urlsafe(18) + "\n",
    }
    for path, text in made.items():
        is_kept = _has_text(path)
        if not is_kept:
            path.write_text(text)
        sys.stdout.write(f"{'kept' if is_kept else 'made'}: {path}\n")
    if (text := users.read_text()).startswith(NO_RIGHTS):
        users.write_text(text.replace(NO_RIGHTS, DEFAULT_USER, 1))
        sys.stdout.write(
            f"{users}: the default user's rights are mended; restart Redis to use them\n"
        )
    for path in made:
        path.chmod(0o644)  # containers read it as another user; the folder keeps this machine's out
    _give_to(folder.parent, folder, *made)


def write_user(env_file: Path, owner: Path) -> None:
    """Append to `.env` who owns the checkout, unless it has a user already.

    With sudo, the owner is somebody else than who calls.
    """
    text = env_file.read_bytes() if env_file.exists() else b""
    found = owner.stat()
    for name, number in (("HOST_UID", found.st_uid), ("HOST_GID", found.st_gid)):
        if not re.search(rf"^\s*(export\s+)?{name}\s*[=:]".encode(), text, re.MULTILINE):
            text += b"\n" if text and not text.endswith(b"\n") else b""
            text += f"{name}={number}\n".encode()
    env_file.write_bytes(text)
    _give_to(owner, env_file)


def make_readable(folder: Path) -> None:
    """Let everybody read a folder and all below it, also if it was made with umask 077."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))


def _password(users: Path, url: Path) -> str | None:
    """The password of the user agewell, as one of two files has it."""
    for path, pattern in (
        (url, r"://agewell:([\w-]+)@"),
        (users, r"^user agewell .*>([\w-]+)(?:\s|$)"),
    ):
        found = _has_text(path) and re.search(pattern, path.read_text(), re.MULTILINE)
        if found:
            return found[1]
    return None


def _has_text(path: Path) -> bool:
    """False for an empty file too: with one that is empty, Redis lets everybody in."""
    return path.exists() and bool(path.read_bytes().strip())


def _give_to(owner: Path, *paths: Path) -> None:
    """Root, such as by sudo, leaves no files that the owner of the checkout cannot change."""
    if os.geteuid() == 0:
        found = owner.stat()
        for path in paths:
            os.chown(path, found.st_uid, found.st_gid)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
