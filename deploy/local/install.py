"""What the project needs on a Debian or Ubuntu machine, installed when missing: `make` calls this first.

It runs with the machine's own Python, before there is a virtual environment: standard library only.
"""

import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POLICY = Path("/usr/sbin/policy-rc.d")
NO_SERVICES = "#!/bin/sh\nexit 101\n"
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

RA_SCRIPT = """\
#!{python}
import sys

sys.path.insert(0, {root!r})
from services.desk.__main__ import main

sys.exit(main())
"""


class InstallError(Exception):
    """Something can't be installed from here; the message says what to do instead."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment in the project's folder, and the lock file that says what is in it."""

    name: str
    lock_name: str
    only_binary: str = ":none:"
    """Of these packages pip takes wheels and never builds one."""

    @property
    def folder(self) -> Path:
        """Where it is."""
        return ROOT / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def lock(self) -> Path:
        """Its lock file."""
        return ROOT / self.lock_name

    @property
    def stamp(self) -> Path:
        """Says for which lock file it was made."""
        return self.folder / ".installed"


MAIN = Environment(".venv", "requirements-dev.lock")
FUZZ = Environment(".venv-fuzz", "requirements-fuzz.lock", only_binary="atheris")


def packages() -> None:
    """The virtual environment, exactly as the lock file says; nothing to do while that stays the same."""
    ra = MAIN.folder / "bin" / "ra"
    if _install(MAIN) or not ra.exists():
        ra.write_text(RA_SCRIPT.format(python=MAIN.python, root=str(ROOT)))
        ra.chmod(0o755)


def fuzzer() -> None:
    """The fuzzer and the product's packages, in a virtual environment of their own: few machines can have it."""
    try:
        _install(FUZZ)
    except InstallError as error:
        here = f"{platform.python_implementation()} {platform.python_version()} on {sys.platform} {platform.machine()}"
        raise InstallError(
            f"{error}\nThe fuzzer, atheris, has wheels for CPython on Linux with an x86-64 processor only, and not for"
            f" every version; this is {here}.\nIf pip found none, name another Python: make PYTHON=python3.12 fuzz"
        ) from error


def broker() -> None:
    """RabbitMQ from the distribution; the package's own service starts neither now nor at the next boot."""
    if RABBITMQ.exists():
        return
    units = ["rabbitmq-server.service"]
    if shutil.which("epmd") is None:
        units += ["epmd.service", "epmd.socket"]
    with _alone():
        _apt_install("rabbitmq-server", purpose="the message broker")
        if shutil.which("systemctl"):
            # Countersign runs a node of its own: a second one for the whole machine is nobody's wish.
            subprocess.run(["systemctl", "disable", *units], capture_output=True, check=False)
    if not RABBITMQ.exists():
        raise InstallError(f"rabbitmq-server was installed, but there is no {RABBITMQ}.")


def openssl() -> None:
    """The `openssl` command, with which people and the demo make and read certificate requests."""
    if shutil.which("openssl") is None:
        with _alone():
            _apt_install("openssl", purpose="the tool for certificate requests")


READERS = {
    "keytool": ("default-jre-headless", "Java's reader of certificates"),
    "pk12util": ("libnss3-tools", "the readers of certificates of browsers"),
    "node": ("nodejs", "the JavaScript runtime as a reader of certificates"),
}


def readers() -> None:
    """Other people's software, of which the tests show that it reads what is delivered."""
    for command, (package, purpose) in READERS.items():
        if shutil.which(command) is None:
            with _alone():
                _apt_install(package, purpose=purpose)


PARTS: dict[str, Callable[[], None]] = {
    "packages": packages,
    "fuzzer": fuzzer,
    "broker": broker,
    "openssl": openssl,
    "readers": readers,
}


def say(text: str) -> None:
    """Tells the person what goes on, at once."""
    print(text, flush=True)


def _install(environment: Environment) -> bool:
    """Brings the environment in line with its lock file; False when it is so already."""
    wanted = _fingerprint(environment)
    with _alone():
        if environment.python.exists() and environment.stamp.exists() and environment.stamp.read_text() == wanted:
            return False
        environment.stamp.unlink(missing_ok=True)
        _create(environment)
        _install_packages(environment)
        environment.stamp.write_text(wanted)
    return True


def _fingerprint(environment: Environment) -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{hashlib.sha256(environment.lock.read_bytes()).hexdigest()} {version} {ROOT}\n"


def _create(environment: Environment) -> None:
    if environment.python.exists() and _version_of(environment) == sys.version_info[:2]:
        return
    if importlib.util.find_spec("ensurepip") is None:
        name = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        _apt_install(name, purpose="Python's virtual environments")
    say(f"Making a virtual environment in {environment.name}.")
    _run(sys.executable, "-m", "venv", "--clear", str(environment.folder), what="Making the virtual environment")


def _install_packages(environment: Environment) -> None:
    count = len(re.findall(r"^[a-z0-9][^ ]*==", environment.lock.read_text(), re.MULTILINE | re.IGNORECASE))
    say(f"Installing {count} Python packages into {environment.name}. This takes about a minute, and only this once.")
    options = ("--disable-pip-version-check", "--no-input", "--require-hashes", "--requirement", str(environment.lock))
    pip = subprocess.Popen(
        [str(environment.python), "-m", "pip", "install", "--only-binary", environment.only_binary, *options],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    with pip:
        got = 0
        for line in pip.stdout or ():
            if line.startswith(("Collecting ", "Processing ")):
                got += 1
                if got % 10 == 0:
                    say(f"  {got} of {count} fetched")
            if line.startswith("Installing "):
                say("  installing them")
    if pip.returncode != 0:
        raise InstallError("Installing the Python packages failed, as said above. The same command tries again.")
    say("The Python packages are installed.")


def _version_of(environment: Environment) -> tuple[int, ...]:
    """The Python version for which the present environment was made."""
    settings = environment.folder / "pyvenv.cfg"
    found = re.search(r"^version\s*=\s*(\d+)\.(\d+)", settings.read_text() if settings.exists() else "", re.MULTILINE)
    return tuple(map(int, found.groups())) if found else ()


def _apt_install(package: str, *, purpose: str) -> None:
    if shutil.which("apt-get") is None:
        raise InstallError(f"{package} ({purpose}) is missing, and there is no apt-get here to install it with.")
    if os.geteuid() != 0:
        raise InstallError(
            f"{package} ({purpose}) is missing. Only root can install it:\n"
            f"  sudo apt-get update && sudo apt-get install --no-install-recommends {package}"
        )
    say(f"Installing {package} ({purpose}) with apt-get. This takes about ten seconds, and only this once.")
    install = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package)
    with _services_stay_off():
        if _apt(install) != 0:
            say("apt-get could not; fetching the lists of packages and trying once more.")
            _run("apt-get", "update", "--quiet", what="Fetching the lists of packages", environment=_APT)
            _run(*install, what=f"Installing {package}", environment=_APT)


_APT = {"DEBIAN_FRONTEND": "noninteractive"}


def _apt(command: Sequence[str]) -> int:
    return subprocess.run(command, env={**os.environ, **_APT}, stdin=subprocess.DEVNULL, check=False).returncode


def _run(*command: str, what: str, environment: dict[str, str] | None = None) -> None:
    surroundings = {**os.environ, **(environment or {})}
    done = subprocess.run(command, cwd=ROOT, env=surroundings, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise InstallError(f"{what} failed, as said above. The same command tries again.")


@contextmanager
def _services_stay_off() -> Iterator[None]:
    """Debian's own way to install a service without starting it: a policy that says no meanwhile."""
    kept = POLICY.with_name("policy-rc.d.before-countersign")
    if POLICY.exists() and not kept.exists():
        POLICY.rename(kept)
    POLICY.write_text(NO_SERVICES)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        if kept.exists():
            kept.rename(POLICY)
        else:
            POLICY.unlink(missing_ok=True)


@contextmanager
def _alone() -> Iterator[None]:
    """One installation at a time: two may be asked for side by side."""
    state = ROOT / ".local"
    state.mkdir(exist_ok=True)
    with (state / "install.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another installation of this project to finish.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Installs the parts that are named."""
    try:
        for name in sys.argv[1:]:
            PARTS[name]()
    except InstallError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
