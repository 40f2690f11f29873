"""Starting and stopping the sandbox as a process of its own, for tests, benchmarks and the local stack."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, cast
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 5.0
CALL_SECONDS = 10.0
_POLL_SECONDS = 0.02
_HTTP = build_opener(ProxyHandler({}))


class SandboxInfo(TypedDict):
    """What `sandbox.json` holds."""

    pid: int
    port: int
    base_url: str
    admin_url: str
    api_keys: dict[str, str]
    """The values by role: admin, orders, requests, view-only, revoke-only."""
    api_keys_by_name: dict[str, str]
    organization_id: int
    container_id: int
    ca_cert_id: str
    private_ca_cert_id: str
    imported_order_id: int


@dataclass(frozen=True)
class SandboxProcess:
    """A running sandbox; as a context manager it is stopped at the end."""

    process: "subprocess.Popen[bytes]"
    state_dir: Path
    info: SandboxInfo

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def base_url(self) -> str:
        return self.info["base_url"]

    def key(self, role: str) -> str:
        """The value of the API key with this role."""
        return self.info["api_keys"][role]

    def set_knobs(self, **settings: object) -> dict[str, Any]:
        """Change these knobs and leave the others; all of them as they stand then."""
        return self._admin("POST", "/knobs", settings)

    def reset_knobs(self) -> None:
        self._admin("DELETE", "/knobs")

    def calls(self, since: int = 0) -> dict[str, Any]:
        """`total`, `counts` by method and path, and in order the `calls` with a number greater than this."""
        return self._admin("GET", f"/calls?since={since}")

    def orders(self) -> list[dict[str, Any]]:
        """Every order placed over the API, oldest first."""
        return cast("list[dict[str, Any]]", self._admin("GET", "/orders")["orders"])

    def issue(self, order_id: int) -> None:
        """Issue an open order now."""
        self._admin("POST", f"/orders/{order_id}/issue")

    def reject(self, order_id: int) -> None:
        """Reject an open order."""
        self._admin("POST", f"/orders/{order_id}/reject")

    def set_status(self, order_id: int, status: str) -> None:
        """Give an order this status, whether or not it could come to have it."""
        self._admin("POST", f"/orders/{order_id}/status", {"status": status})

    def advance(self, seconds: float) -> None:
        """Set the sandbox's clock ahead; only a restart sets it back."""
        self._admin("POST", "/clock", {"seconds": seconds})

    def stop(self) -> None:
        """End the process in good order, or by force if that takes too long."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process as a power cut would."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _admin(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.info["admin_url"] + path, data=data, method=method)  # noqa: S310 -- loopback http
        with _HTTP.open(request, timeout=CALL_SECONDS) as response:
            return cast("dict[str, Any]", json.load(response))


def start_sandbox(
    state_dir: Path,
    port: int = 0,
    *,
    python: str = sys.executable,
    log: Path | None = None,
    keys: Sequence[str] = (),
) -> SandboxProcess:
    """Start a sandbox and wait until it answers.

    Args:
        state_dir: its CA, orders and ready file; what is there is taken up again.
        port: 0 takes a free one, to be found in `info`.
        python: the interpreter that has the project's dependencies.
        log: where its output goes; `sandbox.log` in the state folder if not given.
        keys: API keys as `NAME:ROLE:VALUE`; without any, those of the last run or fresh ones.

    Raises:
        RuntimeError: it ended, or did not answer within `START_SECONDS`; the log says why.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    ready_file = state_dir / "sandbox.json"
    ready_file.unlink(missing_ok=True)
    command = [python, "-m", "tests.sandbox", "--port", str(port), "--state", str(state_dir.resolve())]
    command += [part for key in keys for part in ("--key", key)]
    log_file = log or state_dir / "sandbox.log"
    with log_file.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        return SandboxProcess(process, state_dir, _await_ready(process, ready_file, log_file))
    except BaseException:
        process.kill()
        process.wait(STOP_SECONDS)
        raise


def _await_ready(process: "subprocess.Popen[bytes]", ready_file: Path, log_file: Path) -> SandboxInfo:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the sandbox ended at once: {_tail(log_file)}")
        if ready_file.exists():
            info = cast("SandboxInfo", json.loads(ready_file.read_text(encoding="utf-8")))
            if info["pid"] == process.pid and _answers(info):
                return info
        time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"the sandbox did not answer within {START_SECONDS} s: {_tail(log_file)}")


def _answers(info: SandboxInfo) -> bool:
    try:
        with _HTTP.open(f"{info['admin_url']}/knobs", timeout=CALL_SECONDS) as response:
            return bool(response.status == 200)
    except (URLError, TimeoutError, ConnectionError):
        return False


def _tail(log_file: Path) -> str:
    return log_file.read_text(encoding="utf-8", errors="replace")[-2000:]
