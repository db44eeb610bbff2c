"""Make the secrets of docker-compose.yml, in deploy/secrets/; those that are there are kept.

    python3 deploy/make_secrets.py

Redis's users, agewell's URL with the password of one of them, and Flower's password.
"""

import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "secrets"

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


def _users(password: str) -> str:
    return USERS.format(default=DEFAULT_USER, password=password, connection=CONNECTION)


def _write(path: Path, text: str) -> None:
    # Containers read it as another user; the folder keeps this machine's users out.
    path.write_text(text)
    path.chmod(0o644)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
