"""Make the secrets of docker-compose.yml, in deploy/secrets/; those that are there are kept.

    python3 deploy/make_secrets.py

Redis's users, agewell's URL with the password of one of them, and Flower's password. `.env` beside
docker-compose.yml gets your user's number, so that results belong to you and your models can be
read. Configuration that containers read as another user is made readable.
"""

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


def main(folder: Path = FOLDER) -> int:
    """Write what is missing, and mend the default user in a file of an earlier version."""
    folder.mkdir(mode=0o700, exist_ok=True)
    users = folder / "redis_users.acl"
    password = secrets.token_urlsafe(32)
    if not all((folder / name).exists() for name in ("redis_users.acl", "agewell_redis_url")):
        _write(users, _users(password))
        _write(folder / "agewell_redis_url", f"redis://agewell:{password}@redis:6379/0\n")
    elif (text := users.read_text()).startswith(NO_RIGHTS):
        _write(users, text.replace(NO_RIGHTS, DEFAULT_USER, 1))
        sys.stdout.write(
            f"{users}: the default user's rights are mended; restart Redis to use them\n"
        )
    if not (folder / "agewell_flower_password").exists():
        _write(folder / "agewell_flower_password", secrets.token_urlsafe(18) + "\n")
    sys.stdout.write(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}\n")
    return 0


def write_user(env_file: Path, owner: Path) -> None:
    """Write into `.env` who owns the checkout, unless it has a user already.

    With sudo, the owner is somebody else than who calls.
    """
    lines = env_file.read_text().splitlines() if env_file.exists() else []
    found = owner.stat()
    for name, number in (("HOST_UID", found.st_uid), ("HOST_GID", found.st_gid)):
        if not any(line.partition("=")[0].strip() == name for line in lines):
            lines.append(f"{name}={number}")
    env_file.write_text("\n".join(lines) + "\n")


def make_readable(folder: Path) -> None:
    """Let everybody read a folder and all below it, also if it was made with umask 077."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))


def _users(password: str) -> str:
    return USERS.format(default=DEFAULT_USER, password=password, connection=CONNECTION)


def _write(path: Path, text: str) -> None:
    # Containers read it as another user; the folder keeps this machine's users out.
    path.write_text(text)
    path.chmod(0o644)


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(main(Path(sys.argv[1])))
    write_user(ENV_FILE, ENV_FILE.parent)
    for name in READ_BY_OTHERS:
        make_readable(Path(__file__).parent / name)
    sys.exit(main())
