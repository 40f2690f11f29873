"""The whole stack: what `up` brings up, `down` takes down, and tests may do to it."""

import fcntl
import json
import signal
import socket
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import httpx
import pytest

from deploy.local.broker import BrokerNode
from deploy.local.database import DatabaseServer
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.process import LocalStackError, ProcessIdentity, kill_all_under
from deploy.local.stack import ROOT, Stack, StackPorts
from shared.client.profile import read_anchor, read_profile, read_signer
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.rabbit.topology import inbox_queue
from shared.vocabulary.duties import Duty
from tests.infrastructure import Stacks, TestRun, sandbox_of, unique_name

RUNS_NOT = 3


@dataclass(frozen=True)
class Command:
    """`python -m deploy.local` on stacks in this folder."""

    folder: Path

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.line(*arguments), cwd=ROOT, capture_output=True, text=True, check=False)

    def line(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "deploy.local", *arguments, "--directory", str(self.folder)]


@pytest.fixture
def command(test_run: TestRun) -> Iterator[Command]:
    made = Command(test_run.folder("command"))
    yield made
    kill_all_under(made.folder)


def recorded(folder: Path) -> dict[str, ProcessIdentity | None]:
    return {path.stem: ProcessIdentity.recorded_in(path) for path in folder.glob("**/run/*.pid")}


def test_up_again_says_that_it_runs_and_down_stops_exactly_what_up_started(command: Command) -> None:
    up = command("up")
    assert up.returncode == 0, up.stderr
    assert "make down" in up.stdout
    folder = command.folder / "stack"
    processes = recorded(folder)
    assert set(processes) == {"rabbitmq", "beam", "epmd", "database", "sandbox", *map(str, Duty)}
    assert all(processes.values())

    other = Stack(command.folder / "other", name="other")
    other.start_sandbox()

    again = command("up")
    assert again.returncode == 0
    assert "running already" in again.stdout
    assert recorded(folder) == processes
    assert command("status").returncode == 0

    down = command("down")
    assert down.returncode == 0, down.stderr
    assert not any(process and process.is_running for process in processes.values())
    assert recorded(folder) == {}
    assert other.sandbox.process is not None
    assert command("status").returncode == RUNS_NOT
    assert "does not run" in command("down").stdout


def test_up_after_down_goes_on_with_keys_data_and_ports(command: Command) -> None:
    assert command("up").returncode == 0
    stack = Stack(command.folder / "stack")
    before = {path: path.read_bytes() for path in written_files(stack)}
    orders = len(sandbox_of(stack).orders())
    with stack.database.admin() as client:
        client["ra-intake"]["requests"].insert_one({"_id": "kept"})
    assert command("down").returncode == 0
    assert command("up").returncode == 0
    assert {path: path.read_bytes() for path in written_files(stack)} == before
    assert len(sandbox_of(stack).orders()) == orders
    with stack.database.admin() as client:
        assert client["ra-intake"]["requests"].find_one({"_id": "kept"}) is not None
    assert command("down").returncode == 0


def written_files(stack: Stack) -> list[Path]:
    folders = ("config", "keys", "policy", "profiles", "secrets")
    return sorted(path for folder in folders for path in (stack.directory / folder).rglob("*") if path.is_file())


def test_an_up_that_fails_stops_what_it_started_and_says_why(command: Command) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        failed = command("up", "--revoker-port", str(port))
    assert failed.returncode == 1
    assert f"Port {port}, which was asked for as revoker port, is in use already." in failed.stderr
    assert not any(recorded(command.folder / "stack").values())


def test_a_duty_that_does_not_start_fails_the_up_with_the_end_of_its_log(
    test_run: TestRun, broker: BrokerNode, database_server: DatabaseServer
) -> None:
    stack = Stack(
        test_run.folder("failing"),
        name=unique_name("failing"),
        broker=broker,
        database=database_server,
        overrides={Duty.ISSUER: {"ca": {"poll_seconds": -1}}},
    )
    with pytest.raises(LocalStackError, match=r"(?s)issuer is not ready.*the process has ended.*poll_seconds"):
        stack.up()
    assert not any(stack.running().values())
    stack.destroy()


def test_an_up_that_is_interrupted_leaves_nothing_running(command: Command) -> None:
    up = subprocess.Popen(command.line("up"), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with up:
        assert up.stdout is not None
        next(line for line in up.stdout if "RabbitMQ is at" in line)
        up.send_signal(signal.SIGTERM)
        up.communicate(timeout=120)
    assert up.returncode == 128 + signal.SIGTERM
    assert not any(recorded(command.folder).values())


def test_two_ups_at_once_do_not_get_in_each_others_way(command: Command) -> None:
    folder = command.folder / "stack"
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = command("up")
    assert refused.returncode == 1
    assert "is at work" in refused.stderr


def test_the_ports_that_are_asked_for_are_used(test_run: TestRun) -> None:
    sandbox, intake = free_ports(2)
    stack = Stack(test_run.folder("ports"), ports=StackPorts(sandbox=sandbox, intake=intake))
    stack.start_sandbox()
    assert stack.sandbox_info["port"] == sandbox
    assert stack.duties[Duty.INTAKE].port == intake
    stack.sandbox.kill()


def test_a_stack_on_others_servers_leaves_them_as_they_were(
    test_run: TestRun, broker: BrokerNode, database_server: DatabaseServer
) -> None:
    stack = Stack(test_run.folder("guest"), name=unique_name("guest"), broker=broker, database=database_server)
    stack.up()
    with broker.management() as management, database_server.admin() as client:
        assert len(management.queues(stack.virtual_host)) > 0
        stack.destroy()
        assert stack.virtual_host not in management.virtual_hosts()
        assert not set(stack.databases.values()) & set(client.list_database_names())
    assert broker.is_running
    assert database_server.is_running


def test_a_policy_that_is_refused_starts_no_duty(test_run: TestRun, broker: BrokerNode) -> None:
    def without_revoker(example: dict[str, Any]) -> dict[str, Any]:
        return {**example, "duties": {name: keys for name, keys in example["duties"].items() if name != "revoker"}}

    stack = Stack(test_run.folder("refused"), name=unique_name("refused"), broker=broker, amend_policy=without_revoker)
    with pytest.raises(RefusedError, match=r"the public key of revoker is missing"):
        stack.up()
    assert not any(stack.running().values())
    stack.destroy()


def test_a_killed_duty_is_told_apart_and_comes_back_alone(new_stack: Stacks) -> None:
    stack = new_stack("killed")
    others = {name: runs for name, runs in stack.running().items() if name != "approval"}
    approval = stack.duties[Duty.APPROVAL]
    killed = approval.program.process
    approval.kill()
    assert stack.running() == {**others, "approval": False}
    approval.await_unready()
    approval.start()
    approval.await_ready()
    assert "ra_build" in approval.metrics()
    assert approval.program.process not in {None, killed}


def test_a_paused_duty_answers_again_when_it_goes_on(stack: Stack) -> None:
    revoker = stack.duties[Duty.REVOKER]
    revoker.pause()
    with pytest.raises(httpx.TimeoutException):
        httpx.get(revoker.ready_url, timeout=0.2, trust_env=False)
    revoker.resume()
    revoker.await_ready()


def test_a_duty_can_run_in_several_copies(stack: Stack) -> None:
    second = stack.another(Duty.INTAKE, 2)
    second.start()
    second.await_ready()
    assert second.port != stack.duties[Duty.INTAKE].port
    second.stop()
    assert stack.duties[Duty.INTAKE].is_running


def test_settings_can_be_overridden_for_a_test(new_stack: Stacks) -> None:
    stack = new_stack("patient", overrides={Duty.ISSUER: {"ca": {"poll_seconds": 7.5}}})
    settings = tomllib.loads(stack.config_file("issuer").read_text())
    assert settings["ca"]["poll_seconds"] == 7.5
    assert "api_key_file" in settings["ca"]


def test_every_identity_has_a_profile_whose_key_is_the_one_in_the_policy(stack: Stack) -> None:
    policy = stack.policy
    for name, identity in policy.file.identities.items():
        profile = read_profile(stack.profile_file(name))
        signer = read_signer(profile)
        assert profile.identity == name
        assert ((signer.public,) if signer else ()) == identity.keys
        assert profile.trust is not None
        assert read_anchor(profile.trust.anchor_file) == Anchor.of(policy)


async def test_an_identity_of_the_stack_is_heard_by_the_broker(stack: Stack) -> None:
    profile = read_profile(stack.profile_file("shop")).broker
    async with await aio_pika.connect(
        host=profile.host,
        port=profile.port,
        virtualhost=profile.virtual_host,
        login="shop",
        password=profile.password_file.read_text(),
    ) as connection:
        channel = await connection.channel(on_return_raises=True)
        inbox = await channel.get_queue(inbox_queue("shop"))
        assert await inbox.get(fail=False) is None


def test_secrets_of_a_stack_are_readable_by_their_owner_only(stack: Stack) -> None:
    secrets = [path for folder in ("keys", "secrets") for path in (stack.directory / folder).iterdir()]
    assert len(secrets) > len(Duty)
    assert not any(stat.S_IMODE(path.stat().st_mode) & 0o077 for path in secrets)


def test_no_secret_stands_in_a_settings_file(stack: Stack) -> None:
    secrets = [path.read_text() for path in (stack.directory / "secrets").iterdir()]
    for folder in ("config", "profiles", "policy"):
        for path in (stack.directory / folder).iterdir():
            assert not any(secret in path.read_text() for secret in secrets)


def test_only_the_duties_that_talk_to_the_ca_have_a_key_for_it_and_each_its_own(stack: Stack) -> None:
    keys = {}
    for duty in Duty:
        settings = tomllib.loads(stack.config_file(str(duty)).read_text())
        if "ca" in settings:
            keys[duty] = (stack.directory / "config" / settings["ca"]["api_key_file"]).read_text()
    assert set(keys) == {Duty.ISSUER, Duty.REVOKER}
    assert keys[Duty.ISSUER] != keys[Duty.REVOKER]
    assert json.dumps(stack.sandbox_info["api_keys"]["admin"]) not in json.dumps(list(keys.values()))
