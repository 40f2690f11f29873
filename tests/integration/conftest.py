"""What tests of the CA's side find ready: a sandbox as a process, and the folder of one that nobody used yet."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fakes.account import Account, account_in
from tests.sandbox.account import Sandbox
from tests.sandbox.clock import SandboxClock
from tests.sandbox.process import SandboxProcess, start_sandbox
from tests.world import NOW


@pytest.fixture(scope="module")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """The sandbox of a module's tests; its knobs may be in any position: see `sandbox`."""
    with start_sandbox(tmp_path_factory.mktemp("sandbox")) as process:
        yield process


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> SandboxProcess:
    """The sandbox with its knobs as they are at first."""
    sandbox_process.reset_knobs()
    return sandbox_process


@pytest.fixture(scope="session")
def made_account(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an account before anybody ordered: making its CA takes longer than most tests."""
    folder = tmp_path_factory.mktemp("account")
    Sandbox.opened(folder, (), SandboxClock(NOW.timestamp))
    return folder


@pytest.fixture
def account_folder(tmp_path: Path, made_account: Path) -> Path:
    """A copy of it for one test."""
    shutil.copytree(made_account, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
async def account(account_folder: Path) -> AsyncIterator[Account]:
    """A sandbox of one test, in its event loop."""
    async with account_in(account_folder) as account:
        yield account
