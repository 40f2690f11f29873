"""A duty's process as its operator meets it: what it says about its settings, its readiness and itself, and its end."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local import toml
from deploy.local.duty import DutyProcess
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.process import base_environment, wait_until
from deploy.local.stack import CA_ROLES, ROOT, Stack
from shared.client.errors import CommandRefusedError
from shared.vocabulary.duties import Duty
from shared.vocabulary.reasons import RevocationReason
from shared.vocabulary.states import State
from tests import world
from tests.system.way import issued, people_of, reach

CONFIG_ERROR = 78
"""EX_CONFIG of sysexits.h: what a supervisor should not try again."""
PATIENCE_SECONDS = 60.0
BLOCKLIST = ROOT / "tests" / "vectors" / "x509" / "weak" / "blocklist"

Document = dict[str, Any]
Spoil = Callable[[Document, Path], object]
each_duty = pytest.mark.parametrize("duty", Duty)


def run(duty: Duty, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """A duty's command, until it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", f"services.{duty}", *arguments],
        cwd=ROOT,
        env=base_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def check(duty: Duty, config: Path) -> "subprocess.CompletedProcess[str]":
    return run(duty, "--config", config, "--check-config")


@pytest.fixture
def folder(stack: Stack) -> Path:
    """Where settings files find the others by their relative paths."""
    return stack.config_file("any").parent


@pytest.fixture
def amended(stack: Stack, request: pytest.FixtureRequest, folder: Path) -> Iterator[Callable[[Duty, Spoil], Path]]:
    """A copy of a duty's settings with something changed in it."""
    made: list[Path] = []

    def amend(duty: Duty, spoil: Spoil) -> Path:
        settings = tomllib.loads(stack.config_file(duty).read_text())
        path = folder / f"amended-{duty}-{abs(hash(request.node.name))}.toml"
        made.append(path)
        spoil(settings, folder)
        path.write_text(toml.dumps(settings))
        return path

    yield amend
    for path in made:
        path.unlink()


# Checking the settings


@each_duty
def test_good_settings_are_called_good_with_the_policy_they_lead_to(stack: Stack, duty: Duty) -> None:
    checked = check(duty, stack.config_file(duty))
    assert checked.returncode == 0, checked.stderr
    assert checked.stderr == ""
    assert checked.stdout == f"{stack.config_file(duty)}: good; policy {stack.policy.digest}\n"


def _put(table: str, name: str, value: object) -> Spoil:
    return lambda settings, _: settings[table].__setitem__(name, value)


def _file_with(table: str, name: str, content: bytes) -> Spoil:
    """A setting that names a file with this content."""

    def spoil(settings: Document, folder: Path) -> None:
        path = folder / f"spoiled-{settings['broker']['user']}-{name}"
        path.write_bytes(content)
        settings[table][name] = path.name

    return spoil


def _key_of_another(settings: Document, _: Path) -> None:
    another = "approval" if settings["broker"]["user"] == "intake" else "intake"
    path = settings["evidence"]["key_file"]
    settings["evidence"]["key_file"] = path.replace(settings["broker"]["user"], another)


def _policy_with(change: Callable[[str], str]) -> Spoil:
    """A policy whose text is another one, beside the files that it names."""

    def spoil(settings: Document, folder: Path) -> None:
        good = folder / settings["policy"]["file"]
        path = good.with_name(f"spoiled-{settings['broker']['user']}.toml")
        path.write_text(change(good.read_text()))
        settings["policy"]["file"] = os.path.relpath(path, folder)

    return spoil


def _mail(**changes: object) -> Spoil:
    """Mail, with a mistake."""
    good = {
        "host": "mail.example.com",
        "port": 587,
        "tls": "starttls",
        "from_address": "countersign@example.com",
        "organisation": "Example Ltd",
        "request_domains": ["example.com"],
    }
    return lambda settings, _: settings.__setitem__("mail", {**good, **changes})


MISTAKES: dict[str, tuple[Spoil, str, str]] = {
    "an unknown setting": (_put("broker", "colour", "red"), "config.invalid", "broker.colour"),
    "an unknown table": (
        lambda settings, _: settings.__setitem__("extras", {"a": 1}),
        "config.invalid",
        "extras",
    ),
    "a missing table": (lambda settings, _: settings.pop("evidence"), "config.invalid", "evidence"),
    "a port beyond all ports": (_put("http", "port", 70_000), "config.invalid", "http.port"),
    "a missing broker password": (_put("broker", "password_file", "gone"), "config.secret-unreadable", "gone"),
    "a missing database password": (_put("database", "password_file", "gone"), "config.secret-unreadable", "gone"),
    "a folder for a password": (_put("broker", "password_file", "."), "config.secret-unreadable", "directory"),
    "an empty password": (_file_with("broker", "password_file", b"\n"), "config.secret-unreadable", "it is empty"),
    "a password that is no text": (
        _file_with("database", "password_file", b"\xff\xfe"),
        "config.secret-unreadable",
        "it is no text",
    ),
    "an address that is no database's": (_put("database", "uri", "http://localhost"), "config.database-uri", "uri"),
    "a missing evidence key": (_put("evidence", "key_file", "gone"), "config.evidence-key-unreadable", "gone"),
    "text for an evidence key": (
        _file_with("evidence", "key_file", b"please"),
        "config.evidence-key-unreadable",
        "key_file",
    ),
    "another duty's evidence key": (_key_of_another, "config.evidence-key-unknown", "does not name this key"),
    "a missing policy": (_put("policy", "file", "gone.toml"), "policy.unreadable", "gone.toml"),
    "a policy that is no TOML": (_policy_with(lambda _: "= ="), "policy.not-toml", "line 1"),
    "a policy with an unknown field": (
        _policy_with(lambda text: "colour = 'red'\n" + text),
        "policy.invalid",
        "colour",
    ),
    "a policy whose quorum nobody reaches": (
        _policy_with(lambda text: text.replace("quorum = 2", "quorum = 9")),
        "policy.quorum-out-of-reach",
        "approval_groups.web",
    ),
}


def _refused(ended: "subprocess.CompletedProcess[str]", duty: Duty, code: str, named: str) -> None:
    """The process told its operator in one coded line what to mend, and ended for good."""
    assert ended.returncode == CONFIG_ERROR, ended.stderr
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert all(line.startswith(f"{duty}: ") for line in lines), ended.stderr
    assert any(line.startswith(f"{duty}: {code}: ") and named in line for line in lines), ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("what", "duty"), list(zip(MISTAKES, cycle(Duty), strict=False)))
def test_a_mistake_in_the_settings_ends_the_duty_with_a_line_that_says_what_to_mend(
    amended: Callable[[Duty, Spoil], Path], what: str, duty: Duty
) -> None:
    spoil, code, named = MISTAKES[what]
    _refused(check(duty, amended(duty, spoil)), duty, code, named)


CA_MISTAKES: dict[str, tuple[Spoil, str, str]] = {
    "a missing API key": (_put("ca", "api_key_file", "gone"), "config.secret-unreadable", "gone"),
    "a CA without TLS": (_put("ca", "url", "http://ca.example.com/services/v2"), "config.ca-url", "ca.url"),
}


@pytest.mark.parametrize("what", CA_MISTAKES)
@pytest.mark.parametrize("duty", CA_ROLES)
def test_a_mistake_about_the_ca_ends_the_duties_that_talk_to_it(
    amended: Callable[[Duty, Spoil], Path], duty: Duty, what: str
) -> None:
    spoil, code, named = CA_MISTAKES[what]
    _refused(check(duty, amended(duty, spoil)), duty, code, named)


@pytest.mark.parametrize(
    ("spoil", "code", "named"),
    [
        (_mail(tls="none"), "config.invalid", "for a server on this machine only"),
        (_mail(username="us"), "config.invalid", "`username` and `password_file` both"),
        (_mail(username="us", password_file="none"), "config.secret-unreadable", "none: No such file"),
        (_mail(ca_file="none"), "config.mail-ca-file", "mail.ca_file"),
        (_mail(templates="none"), "config.mail-templates", "mail.templates"),
    ],
)
def test_a_mistake_about_mail_ends_intake_with_a_line_that_says_what_to_mend(
    amended: Callable[[Duty, Spoil], Path], spoil: Spoil, code: str, named: str
) -> None:
    _refused(check(Duty.INTAKE, amended(Duty.INTAKE, spoil)), Duty.INTAKE, code, named)


def test_good_settings_of_mail_are_called_good_though_no_such_server_is_there(
    amended: Callable[[Duty, Spoil], Path],
) -> None:
    assert check(Duty.INTAKE, amended(Duty.INTAKE, _mail())).returncode == 0


def test_roots_that_are_no_certificates_end_the_issuer(amended: Callable[[Duty, Spoil], Path]) -> None:
    config = amended(Duty.ISSUER, _file_with("ca", "roots_file", b"please"))
    _refused(check(Duty.ISSUER, config), Duty.ISSUER, "config.roots-unreadable", "roots_file")


def test_every_mistake_in_a_settings_file_is_told_at_once(amended: Callable[[Duty, Spoil], Path]) -> None:
    def spoil(settings: Document, _: Path) -> None:
        settings["broker"]["colour"] = "red"
        settings["http"]["port"] = 0
        del settings["database"]["uri"]

    ended = check(Duty.INTAKE, amended(Duty.INTAKE, spoil))
    for named in ("broker.colour", "http.port", "database.uri"):
        _refused(ended, Duty.INTAKE, "config.invalid", named)


@pytest.mark.parametrize(
    ("content", "code"), [(None, "config.unreadable"), (b"= =", "config.not-toml"), (b"\xff\xfe", "config.not-toml")]
)
def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, code: str) -> None:
    config = tmp_path / "settings.toml"
    if content is not None:
        config.write_bytes(content)
    _refused(check(Duty.INTAKE, config), Duty.INTAKE, code, "settings.toml")


def test_a_duty_that_is_started_with_bad_settings_ends_as_it_does_when_they_are_checked(
    amended: Callable[[Duty, Spoil], Path],
) -> None:
    config = amended(Duty.REVOKER, _put("broker", "colour", "red"))
    _refused(run(Duty.REVOKER, "--config", config), Duty.REVOKER, "config.invalid", "broker.colour")


@pytest.mark.parametrize("duty", [Duty.APPROVAL, Duty.ISSUER])
def test_a_duty_whose_port_is_taken_says_which(amended: Callable[[Duty, Spoil], Path], duty: Duty) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        config = amended(duty, _put("http", "port", port))
        ended = run(duty, "--config", config)
    _refused(ended, duty, "config.port-unusable", f"{LOOPBACK}:{port}: Address already in use")


# Starting, being watched, and ending


@contextmanager
def started(process: DutyProcess) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of a duty whose exit status this test will see; its log is where the stack looks for it."""
    process.log_file.parent.mkdir(parents=True, exist_ok=True)
    with (
        process.log_file.open("wb") as log,
        subprocess.Popen(
            process.program.command,
            cwd=ROOT,
            env=dict(process.program.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as child,
    ):
        try:
            yield child
        finally:
            child.kill()


def conditions(process: DutyProcess) -> tuple[int, Document]:
    answer = httpx.get(process.ready_url, trust_env=False)
    return answer.status_code, answer.json()


def log_of(process: DutyProcess) -> list[Document]:
    """Its log: JSON in every line."""
    lines = [json.loads(line) for line in process.log().splitlines()]
    assert [line for line in lines if not {"event", "level", "timestamp"} <= set(line)] == []
    return lines


@pytest.mark.parametrize(("duty", "number"), [*((duty, signal.SIGTERM) for duty in Duty), (Duty.INTAKE, signal.SIGINT)])
def test_an_idle_duty_ends_in_order_when_it_is_asked_to(stack: Stack, duty: Duty, number: signal.Signals) -> None:
    process = stack.another(duty, 2)
    with started(process) as child:
        wait_until(process.is_ready, what=f"{duty} is not ready", limit=PATIENCE_SECONDS, log=process.log_file)
        assert conditions(process)[1]["ready"] is True
        child.send_signal(number)
        assert child.wait(PATIENCE_SECONDS) == 0
    log = log_of(process)
    assert not {"error", "critical"} & {line["level"] for line in log}
    course = ["started", "stopping", "stopped"]
    assert [line["event"] for line in log if line["event"] in course] == course
    assert {line["duty"] for line in log} == {str(duty)}


@pytest.mark.parametrize("duty", [Duty.INTAKE, Duty.REVOKER])
def test_a_duty_that_reaches_no_server_says_so_and_ends_in_order(stack: Stack, duty: Duty) -> None:
    broker, database = free_ports(2)
    process = stack.another(duty, 3)
    settings = tomllib.loads(stack.config_file(process.name).read_text())
    settings["broker"]["port"] = broker
    settings["database"]["uri"] = f"mongodb://{LOOPBACK}:{database}/?directConnection=true"
    stack.config_file(process.name).write_text(toml.dumps(settings))
    with started(process) as child:
        wait_until(
            lambda: _answers(process) and conditions(process)[1]["conditions"]["database"] is False,
            what=f"{duty} does not say that its database is away",
            limit=PATIENCE_SECONDS,
            log=process.log_file,
        )
        status, found = conditions(process)
        assert status == httpx.codes.SERVICE_UNAVAILABLE
        assert found["ready"] is False
        assert {"broker": False, "database": False}.items() <= found["conditions"].items()
        assert httpx.get(process.ready_url.replace("readyz", "healthz"), trust_env=False).text == "ok\n"
        assert 'ra_dependency_up{dependency="database"} 0.0' in process.metrics()
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE_SECONDS) == 0
    assert log_of(process)[-1]["event"] == "stopped"


def _answers(process: DutyProcess) -> bool:
    try:
        httpx.get(process.ready_url, trust_env=False)
    except httpx.TransportError:
        return False
    return True


@each_duty
def test_readiness_names_every_condition(stack: Stack, duty: Duty) -> None:
    status, found = conditions(stack.duties[duty])
    assert status == httpx.codes.OK
    assert found["ready"] is True
    assert {"broker", "database", "policy"} <= set(found["conditions"])
    assert set(found["conditions"].values()) == {True}


def test_intake_names_what_it_is_not_given_and_is_ready_without(stack: Stack) -> None:
    assert {duty: conditions(process)[1]["without"] for duty, process in stack.duties.items()} == {
        Duty.INTAKE: ["blocklist", "mail"],
        Duty.APPROVAL: [],
        Duty.ISSUER: [],
        Duty.REVOKER: [],
    }
    intake = stack.duties[Duty.INTAKE]
    assert "blocklist" not in conditions(intake)[1]["conditions"]
    assert "ra_blocklist_loaded 0.0" in intake.metrics()
    (warning,) = [line for line in log_of(intake) if line["event"] == "works without"]
    assert (warning["level"], warning["what"]) == ("warning", ["blocklist", "mail"])


def test_a_blocklist_that_cannot_be_used_makes_intake_unready_until_it_can(stack: Stack, tmp_path: Path) -> None:
    process = stack.another(Duty.INTAKE, 4)
    settings = tomllib.loads(stack.config_file(process.name).read_text())
    settings["screening"] = {"blocklist": str(tmp_path)}
    stack.config_file(process.name).write_text(toml.dumps(settings))

    def is_unready() -> bool:
        return _answers(process) and conditions(process)[1]["conditions"]["blocklist"] is False

    with started(process):
        wait_until(is_unready, what="intake is ready", limit=PATIENCE_SECONDS, log=process.log_file)
        assert conditions(process)[0] == httpx.codes.SERVICE_UNAVAILABLE
        assert "ra_blocklist_loaded 0.0" in process.metrics()
        for file in BLOCKLIST.iterdir():
            shutil.copy(file, tmp_path)
        wait_until(process.is_ready, what="intake is not ready", limit=PATIENCE_SECONDS, log=process.log_file)
        assert conditions(process)[1]["without"] == ["mail"]
        assert "ra_blocklist_loaded 1.0" in process.metrics()
        assert 'ra_dependency_up{dependency="blocklist"} 1.0' in process.metrics()


@each_duty
def test_metrics_are_prometheus_text_and_tell_build_dependencies_and_work(stack: Stack, duty: Duty) -> None:
    families = {family.name: family for family in text_string_to_metric_families(stack.duties[duty].metrics())}
    (build,) = families["ra_build_info"].samples
    assert build.labels["duty"] == duty
    up = {sample.labels["dependency"]: sample.value for sample in families["ra_dependency_up"].samples}
    assert {"broker", "database", "policy"} <= set(up)
    assert set(up.values()) == {1.0}
    assert {"ra_messages_handled", "ra_refusals", "ra_messages_parked", "ra_database_operations"} <= set(families)
    assert ("ra_ca_calls" in families) is (duty in CA_ROLES)
    assert all(family.documentation for name, family in families.items() if name.startswith("ra_"))


# Secrets


def _secrets(stack: Stack) -> set[str]:
    """Every password, API key and private key that there is in a stack, line by line."""
    folders = [stack.directory / name for name in ("secrets", "keys")]
    files = [path for folder in folders for path in folder.iterdir()]
    lines = {line for path in files for line in path.read_text().split("\n")}
    everywhere = {stack.broker.admin_password, *stack.sandbox_info["api_keys"].values()}
    return {line for line in lines | everywhere if line and not line.startswith("-----")}


async def test_no_secret_is_in_a_log_or_among_the_metrics_of_a_stack_at_work(stack: Stack) -> None:
    async with people_of(stack) as people:
        request_id = await issued(people)
        await people.shop.revoke(request_id, RevocationReason.SUPERSEDED)
        await reach(people, request_id, State.REVOKED)
        with pytest.raises(CommandRefusedError):
            await people.shop.submit(world.content(csr="please"))
    secrets = _secrets(stack)
    assert len(secrets) > 20
    for duty, process in stack.duties.items():
        said = process.log() + process.metrics()
        assert log_of(process), f"{duty} has no log"
        assert not [secret for secret in secrets if secret in said], f"{duty} has told a secret"
