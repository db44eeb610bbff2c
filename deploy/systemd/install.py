"""Install agewell as systemd services, on a machine without containers. Safe to run again.

    sudo python3 deploy/systemd/install.py                    # Redis, cv, upkeep, beat, Flower
    sudo python3 deploy/systemd/install.py --dry-run          # only say what it would do
    sudo python3 deploy/systemd/install.py --services cv --redis-url redis://agewell:...@10.0.0.5/0

docs/systemd.md explains each step. It needs Python 3.11 and no package.
"""

import argparse
import shutil
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from steps import InstallError, Steps, memory_bytes
from texts import ENV, EXTRAS, REDIS, SERVICES, cores_that_fit, redis_url_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PREFIX = Path("/opt/agewell")
DEFAULT = "cv,upkeep,beat,flower"
REDIS_PORT = 6379
ETC = Path("/etc/agewell")


def main(words: list[str]) -> int:
    """Install or uninstall. Returns the exit status."""
    options = _options(words)
    steps = Steps(Path(options.root), is_dry=options.dry_run)
    try:
        services = _services(options.services)
        if options.uninstall:
            _uninstall(steps, options)
        else:
            _install(steps, options, services)
    except InstallError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--services", default=DEFAULT, help=f"of {','.join(SERVICES)}; default: {DEFAULT}")
    add("--redis-url", help="use this Redis; by default agewell-redis.service runs one")
    add("--redis-port", type=int, help=f"port of agewell-redis.service; default: {REDIS_PORT}")
    add(
        "--prefix",
        type=_absolute,
        default=PREFIX,
        help=f"the Python environment; default: {PREFIX}",
    )
    add("--venv", type=_absolute, help="use this Python environment, in which agewell is installed")
    add("--root", default="/", help="put all files below this directory, and run nothing")
    add("--dry-run", action="store_true", help="say what it would do, and do nothing")
    add("--uninstall", action="store_true", help="remove the services; data and settings stay")
    return parser.parse_args(words)


def _absolute(text: str) -> Path:
    return Path(text).absolute()


def _services(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in SERVICES]
    if unknown or not names:
        raise InstallError(f"--services {text}: choose from {', '.join(SERVICES)}")
    return names


def _install(steps: Steps, options: argparse.Namespace, services: list[str]) -> None:
    own_redis = options.redis_url is None
    _check(steps, options, own_redis)
    venv = options.venv or options.prefix
    for user in ["agewell", *(["agewell-redis"] if own_redis else [])]:
        steps.user(user)
    if options.venv is None:
        _make_venv(steps, options.prefix, services)
    _write_settings(steps, options)
    units = [f"agewell-{name}.service" for name in services]
    if own_redis:
        units.append("agewell-redis.service")
    for unit in ["agewell.target", *units]:
        text = (HERE / "units" / unit).read_text().replace(f"{PREFIX}/", f"{venv}/")
        steps.write(Path("/etc/systemd/system") / unit, text, 0o644)
    steps.run("systemctl", "daemon-reload")
    steps.run("systemctl", "enable", "agewell.target", *units)
    steps.say(
        "next:\n"
        "  systemctl restart agewell.target\n"
        "  systemctl status 'agewell-*'\n"
        "  systemd-run --pipe --wait --quiet -p User=agewell "
        f"-p EnvironmentFile=/etc/agewell/agewell.env {venv}/bin/agewell doctor"
    )


def _check(steps: Steps, options: argparse.Namespace, own_redis: bool) -> None:
    """Stop before anything is written if this machine lacks something."""
    venv = options.venv or options.prefix
    if venv.is_relative_to("/home") or venv.is_relative_to("/root"):
        raise InstallError(f"{venv}: the services see no home directories; choose another place")
    if options.venv is not None and not (venv / "bin" / "celery").exists():
        raise InstallError(f"--venv {venv}: there is no bin/celery; install agewell there")
    if options.redis_url is not None:
        _check_kept(
            steps, ETC / "agewell.env", "--redis-url", f"AGEWELL_REDIS_URL={options.redis_url}"
        )
    if options.redis_port is not None:
        _check_kept(steps, ETC / "redis.conf", "--redis-port", f"port {options.redis_port}")
    if not steps.is_live:
        return
    steps.require_root_and_systemd()
    if not own_redis:
        return
    if shutil.which("redis-server") is None:
        raise InstallError(
            "redis-server is not installed: apt-get install redis-server, or --redis-url"
        )
    if steps.at(ETC / "redis.conf").exists():
        return  # it has the port, and stays as it is
    port = options.redis_port or REDIS_PORT
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    if taken and not steps.is_active("agewell-redis.service"):
        raise InstallError(
            f"port {port} is taken by another program, probably the distribution's "
            "redis-server: stop it (systemctl disable --now redis-server), choose another "
            "--redis-port, or use that Redis by --redis-url"
        )


def _check_kept(steps: Steps, path: Path, option: str, line: str) -> None:
    """Stop if a file that is kept says something else than an option."""
    file = steps.at(path)
    if file.exists() and line not in file.read_text().splitlines():
        raise InstallError(
            f"{option}: {file} is of an earlier installation, is kept, and says something else: "
            "change it there (for a port, the URL in agewell.env too), and leave the option out"
        )


def _make_venv(steps: Steps, prefix: Path, services: list[str]) -> None:
    if not (prefix / "bin" / "python").exists():
        steps.run(sys.executable, "-m", "venv", str(prefix))
    constraints = ("--constraint", str(ROOT / "constraints.txt"))
    pip = (str(prefix / "bin" / "pip"), "install", "--quiet", *constraints)
    extras = sorted({EXTRAS[name] for name in services if name in EXTRAS})
    # pip keeps an installed agewell of the same version number, so it is installed anew.
    steps.run(*pip, f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT))
    steps.run(*pip, "--force-reinstall", "--no-deps", str(ROOT))


def _write_settings(steps: Steps, options: argparse.Namespace) -> None:
    """Write the environment file once. Passwords and what you changed in it are kept."""
    steps.folder(ETC, 0o755)
    secrets = ETC / "secrets"
    make_secrets = str(ROOT / "deploy" / "make_secrets.py")
    steps.run(sys.executable, make_secrets, str(steps.at(secrets)), always=True)
    port = options.redis_port or REDIS_PORT
    if options.redis_url is None:
        steps.copy(secrets / "redis_users.acl", ETC / "redis_users.acl", 0o640, "agewell-redis")
        redis = REDIS.format(port=port, memory=memory_bytes() // 4)
        steps.write_once(ETC / "redis.conf", redis, 0o640, "agewell-redis")
    password = steps.read(secrets / "agewell_flower_password").strip()
    url = options.redis_url or redis_url_of(steps.read(secrets / "agewell_redis_url"), port)
    env = ENV.format(url=url, flower=password, jobs=cores_that_fit())
    steps.write_once(ETC / "agewell.env", env, 0o600)


def _uninstall(steps: Steps, options: argparse.Namespace) -> None:
    if steps.is_live:
        steps.require_root_and_systemd()
    units = sorted(path.name for path in steps.at(Path("/etc/systemd/system")).glob("agewell*"))
    units = [name for name in units if (HERE / "units" / name).exists()]
    if not units:
        steps.say("there is nothing to uninstall")
        return
    # The services first: Redis writes their last changes before it ends.
    steps.run("systemctl", "disable", "--now", "agewell.target", *units)
    for name in units:
        steps.remove(Path("/etc/systemd/system") / name)
    steps.run("systemctl", "daemon-reload")
    steps.say(
        "kept: /etc/agewell, /var/lib/agewell, /var/lib/agewell-redis (the jobs), "
        f"{options.prefix} and the users agewell and agewell-redis"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
