"""What tests find ready: servers of the run, and on them a virtual host and databases of one's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.broker import BrokerNode
from deploy.local.database import DatabaseServer
from deploy.local.stack import Stack
from tests.infrastructure import DutyDatabases, Stacks, TestRun, VirtualHost, unique_name

RUN = pytest.StashKey[TestRun]()
WORKER_INPUT = "run_directory"


def pytest_configure(config: pytest.Config) -> None:
    if (directory := _given_to_worker(config)) is None:
        config.stash[RUN] = TestRun.begin()
    else:
        config.stash[RUN] = TestRun(directory)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hands the run's folder to a worker of pytest-xdist before it starts."""
    node.workerinput[WORKER_INPUT] = str(node.config.stash[RUN].directory)


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUN in config.stash and _given_to_worker(config) is None:
        config.stash[RUN].end()


def _given_to_worker(config: pytest.Config) -> Path | None:
    worker_input: dict[str, str] | None = getattr(config, "workerinput", None)
    return None if worker_input is None else Path(worker_input[WORKER_INPUT])


@pytest.fixture(scope="session")
def test_run(pytestconfig: pytest.Config) -> TestRun:
    """The run's folder."""
    return pytestconfig.stash[RUN]


@pytest.fixture(scope="session")
def broker(test_run: TestRun) -> BrokerNode:
    """The broker of the whole run; not to be stopped: see `own_broker`."""
    return test_run.broker()


@pytest.fixture
def own_broker(test_run: TestRun) -> Iterator[BrokerNode]:
    """A broker that this test may stop and kill; it is not started yet."""
    node = BrokerNode(test_run.folder("broker"))
    yield node
    node.destroy()


@pytest.fixture
def virtual_host(broker: BrokerNode, request: pytest.FixtureRequest) -> Iterator[VirtualHost]:
    """A fresh virtual host on the run's broker."""
    name = unique_name(request.node.name)
    with broker.management() as management:
        management.create_virtual_host(name)
        yield VirtualHost(name, broker)
        management.delete_virtual_host(name)


@pytest.fixture(scope="session")
def database_server(test_run: TestRun) -> DatabaseServer:
    """The database server of the whole run; not to be stopped: see `own_database_server`."""
    return test_run.database()


@pytest.fixture
def own_database_server(test_run: TestRun) -> Iterator[DatabaseServer]:
    """A database server that this test may stop and kill; it is not started yet."""
    server = DatabaseServer(test_run.folder("database"))
    yield server
    server.kill()


@pytest.fixture
def database(
    database_server: DatabaseServer, test_run: TestRun, request: pytest.FixtureRequest
) -> Iterator[DutyDatabases]:
    """A fresh, provisioned database for each duty on the run's server."""
    databases = DutyDatabases(database_server, test_run.folder("passwords"), unique_name(request.node.name))
    databases.provision()
    yield databases
    databases.drop()


@pytest.fixture
def new_stack(test_run: TestRun) -> Iterator[Stacks]:
    """Makes running stacks that this test may maltreat; each takes some seconds."""
    stacks = Stacks(test_run)
    yield stacks
    stacks.close()


@pytest.fixture(scope="module")
def module_stacks(test_run: TestRun) -> Iterator[Stacks]:
    """The same for a stack that the tests of a module share; `--dist loadfile` keeps them on one worker."""
    stacks = Stacks(test_run)
    yield stacks
    stacks.close()


@pytest.fixture(scope="module")
def stack(module_stacks: Stacks) -> Stack:
    """A running Registration Authority for the tests of a module, on the run's servers."""
    return module_stacks("module")
