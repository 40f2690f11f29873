"""What `make` installs when it is missing, tried with stand-ins for the machine's programs."""

import os
import platform
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local import install

APT = """\
#!/bin/sh
echo "apt-get $*" >> "$CALLS"
echo "services: $(echo $(cat "$POLICY"))" >> "$CALLS"
if [ "$1" = install ] && [ -e "$LISTS_ARE_MISSING" ]; then exit 100; fi
if [ "$1" = update ]; then rm "$LISTS_ARE_MISSING"; exit 0; fi
for package in "$@"; do :; done
mkdir -p "$(dirname "$INSTALLED")" && touch "$INSTALLED"
"""
SYSTEMCTL = '#!/bin/sh\necho "systemctl $*" >> "$CALLS"\n'


@dataclass(frozen=True)
class Machine:
    """A machine whose apt-get and systemctl only write down what they are asked for."""

    folder: Path

    @property
    def calls(self) -> list[str]:
        return [line for line in self._lines if not line.startswith("services:")]

    @property
    def policies(self) -> set[str]:
        """What the machine's policy on services said whenever apt-get was called."""
        return {line for line in self._lines if line.startswith("services:")}

    @property
    def _lines(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def policy(self) -> Path:
        return self.folder / "policy-rc.d"

    @property
    def server(self) -> Path:
        return self.folder / "rabbitmq" / "rabbitmq-server"

    def add(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)

    def become_user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    made.add("apt-get", APT)
    made.add("systemctl", SYSTEMCTL)
    for name in ("cat", "rm", "dirname", "mkdir", "touch", "sh"):
        made.add(name, f'#!/bin/sh\nexec /bin/{name} "$@"\n')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("POLICY", str(made.policy))
    monkeypatch.setenv("INSTALLED", str(made.server))
    monkeypatch.setenv("LISTS_ARE_MISSING", str(tmp_path / "no-lists"))
    monkeypatch.setattr(install, "POLICY", made.policy)
    monkeypatch.setattr(install, "RABBITMQ", made.server)
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return made


INSTALL_BROKER = "apt-get install --yes --quiet --no-install-recommends rabbitmq-server"


def test_the_broker_is_installed_and_its_own_service_starts_neither_now_nor_later(machine: Machine) -> None:
    install.broker()
    disable = "systemctl disable rabbitmq-server.service epmd.service epmd.socket"
    assert machine.calls == [INSTALL_BROKER, disable]
    assert machine.policies == {"services: #!/bin/sh exit 101"}
    assert not machine.policy.exists()


def test_what_is_there_is_left_alone(machine: Machine) -> None:
    machine.server.parent.mkdir()
    machine.server.touch()
    machine.add("openssl", SYSTEMCTL)
    install.broker()
    install.openssl()
    assert machine.calls == []


def test_epmd_of_somebody_else_keeps_its_service(machine: Machine) -> None:
    machine.add("epmd", SYSTEMCTL)
    install.broker()
    assert machine.calls[-1] == "systemctl disable rabbitmq-server.service"


def test_the_lists_of_packages_are_fetched_once_when_they_are_missing(machine: Machine) -> None:
    (machine.folder / "no-lists").touch()
    install.broker()
    assert machine.calls[:3] == [INSTALL_BROKER, "apt-get update --quiet", INSTALL_BROKER]


def test_the_machines_own_policy_on_services_is_put_back(machine: Machine) -> None:
    machine.policy.write_text("#!/bin/sh\nexit 0\n")
    machine.policy.chmod(0o700)
    install.broker()
    assert machine.policies == {"services: #!/bin/sh exit 101"}
    assert machine.policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert stat.S_IMODE(machine.policy.stat().st_mode) == 0o700
    assert list(machine.folder.glob("policy-rc.d*")) == [machine.policy]


def test_whoever_is_not_root_is_told_what_to_type(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.become_user(monkeypatch)
    with pytest.raises(install.InstallError, match="sudo apt-get install --no-install-recommends rabbitmq-server"):
        install.broker()
    with pytest.raises(install.InstallError, match="sudo apt-get install --no-install-recommends openssl"):
        install.openssl()
    assert machine.calls == []


def test_a_machine_without_apt_is_told_so(machine: Machine) -> None:
    (machine.folder / "bin" / "apt-get").unlink()
    with pytest.raises(install.InstallError, match="there is no apt-get"):
        install.openssl()


def test_a_python_without_ensurepip_gets_its_package(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(sys, "executable", "/bin/true")
    install._create(install.MAIN)
    assert machine.calls[0].endswith(f"python{sys.version_info.major}.{sys.version_info.minor}-venv")


def with_environment(environment: install.Environment, *, pip_status: int = 0) -> None:
    """A virtual environment whose pip only writes down what it is asked for."""
    environment.python.parent.mkdir(parents=True)
    environment.python.write_text(f'#!/bin/sh\necho "pip $*" >> "$CALLS"; exit {pip_status}\n')
    environment.python.chmod(0o755)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (environment.folder / "pyvenv.cfg").write_text(f"version = {version}.1\n")
    environment.lock.write_text("one==1 --hash=sha256:0\n")


def test_packages_are_installed_once_for_each_lock(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    with_environment(install.MAIN)
    install.packages()
    install.packages()
    assert len(machine.calls) == 1
    assert "--require-hashes" in machine.calls[0]
    assert "Installing 1 Python packages" in capfd.readouterr().out
    install.MAIN.lock.write_text("one==2 --hash=sha256:0\n")
    install.packages()
    assert len(machine.calls) == 2
    assert os.access(machine.folder / ".venv" / "bin" / "ra", os.X_OK)


def test_a_failed_installation_is_tried_again(machine: Machine) -> None:
    with_environment(install.MAIN, pip_status=1)
    for _ in range(2):
        with pytest.raises(install.InstallError, match="tries again"):
            install.packages()
    assert len(machine.calls) == 2


def test_the_fuzzer_has_an_environment_of_its_own_and_is_never_built_here(machine: Machine) -> None:
    with_environment(install.FUZZ)
    install.fuzzer()
    install.fuzzer()
    assert len(machine.calls) == 1
    assert "--only-binary atheris" in machine.calls[0]
    assert not (machine.folder / ".venv").exists()


@pytest.mark.usefixtures("machine")
def test_whoever_cannot_have_the_fuzzer_is_told_where_it_is_to_be_had() -> None:
    with_environment(install.FUZZ, pip_status=1)
    with pytest.raises(install.InstallError, match="x86-64 processor only") as told:
        install.fuzzer()
    assert "make PYTHON=" in str(told.value)
    assert platform.python_version() in str(told.value)


def test_the_makefile_lists_its_targets_with_a_sentence_each() -> None:
    root = Path(__file__).resolve().parents[2]
    shown = subprocess.run(["make", "-s", "help"], cwd=root, capture_output=True, text=True, check=True).stdout
    listed = {line.split()[1] for line in shown.splitlines()}
    assert {"demo", "up", "down", "check", "test", "fuzz", "bench", "docs", "promises", "format", "help"} <= listed
    assert all(len(line.split()) > 4 for line in shown.splitlines())
