"""Make the secrets of docker-compose.yml, in deploy/secrets/; those that are there are kept.

    python3 deploy/make_secrets.py

Redis's users, agewell's URL with the password of one of them, and Flower's password.
"""

import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "secrets"

CONNECTION = "+client|setname +client|getname +client|id +client|tracking"

USERS = """\
user default off
user health on nopass resetkeys resetchannels -@all +ping
user agewell on >{password} ~* &* +@all -@admin -@dangerous +info {connection}
"""
"""Nobody without a name; a health check that may do nothing else; and agewell, which can neither
change Redis's settings nor list or flush what is not its own."""


def main(folder: Path = FOLDER) -> int:
    """Write what is missing."""
    folder.mkdir(mode=0o700, exist_ok=True)
    password = secrets.token_urlsafe(32)
    if not all((folder / name).exists() for name in ("redis_users.acl", "agewell_redis_url")):
        _write(folder / "redis_users.acl", USERS.format(password=password, connection=CONNECTION))
        _write(folder / "agewell_redis_url", f"redis://agewell:{password}@redis:6379/0\n")
    if not (folder / "agewell_flower_password").exists():
        _write(folder / "agewell_flower_password", secrets.token_urlsafe(18) + "\n")
    sys.stdout.write(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}\n")
    return 0


def _write(path: Path, text: str) -> None:
    # Containers read it as another user; the folder keeps this machine's users out.
    path.write_text(text)
    path.chmod(0o644)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
