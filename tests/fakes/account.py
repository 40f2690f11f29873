"""An account of the sandbox, used over plain HTTP in one event loop."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.sandbox.account import Sandbox
from tests.sandbox.app import build_app
from tests.sandbox.catalogue import ORGANIZATION_ID
from tests.sandbox.clock import SandboxClock
from tests.sandbox.csrs import new_csr
from tests.sandbox.inprocess import InProcess
from tests.sandbox.roles import ApiKey, Role
from tests.world import NOW

NAME = "www.example.com"
CSR = new_csr(NAME).pem
KEYS = tuple(ApiKey(role.value, role, f"key-of-{role}") for role in Role)
Query = Mapping[str, str | int]


@dataclass
class Account:
    """The account of a sandbox, used with an administrator's key unless another role is named."""

    sandbox: Sandbox
    http: httpx.AsyncClient

    async def knobs(self, **settings: object) -> None:
        """Turn these knobs as everybody does: over the endpoint."""
        answer = await self.http.post("http://sandbox/admin/knobs", json=settings)
        assert answer.status_code == 200, answer.text

    async def call(
        self, method: str, path: str, body: object = None, *, query: Query | None = None, role: Role = Role.ADMIN
    ) -> httpx.Response:
        headers = {"X-DC-DEVKEY": f"key-of-{role}"}
        return await self.http.request(method, path, json=body, params=query, headers=headers)

    async def ask(self, path: str, query: Query | None = None) -> dict[str, Any]:
        answer = await self.call("GET", path, query=query)
        assert answer.status_code == 200
        return dict(answer.json())

    async def place(self, role: Role = Role.ADMIN, /, **fields: object) -> httpx.Response:
        body = {
            "certificate": certificate(),
            "organization": {"id": ORGANIZATION_ID},
            "order_validity": {"years": 1},
            "skip_approval": True,
            **fields,
        }
        return await self.call("POST", "/order/certificate/ssl_basic", body, role=role)

    async def placed(self, role: Role = Role.ADMIN, /, **fields: object) -> dict[str, Any]:
        answer = await self.place(role, **fields)
        assert answer.status_code == 201
        return dict(answer.json())

    async def status(self, order: dict[str, Any]) -> str:
        return str((await self.ask(f"/order/certificate/{order['id']}"))["status"])

    async def another(self, kind: str, order: dict[str, Any], **fields: object) -> httpx.Response:
        body = {"certificate": certificate(), "skip_approval": True, **fields}
        return await self.call("POST", f"/order/certificate/{order['id']}/{kind}", body)

    async def decide(self, request_id: int, verdict: str, *, role: Role = Role.ADMIN) -> httpx.Response:
        return await self.call("PUT", f"/request/{request_id}/status", {"status": verdict}, role=role)

    async def cancel(self, order: dict[str, Any]) -> int:
        answer = await self.call("PUT", f"/order/certificate/{order['id']}/status", {"status": "CANCELED"})
        return answer.status_code


@asynccontextmanager
async def account_in(folder: Path) -> AsyncIterator[Account]:
    """The account of this folder, in `tests.world`'s present."""
    sandbox = Sandbox.opened(folder, KEYS, SandboxClock(NOW.timestamp))
    async with httpx.AsyncClient(
        base_url="http://sandbox/services/v2", transport=InProcess(build_app(sandbox)), trust_env=False
    ) as http:
        yield Account(sandbox, http)


def certificate(*others: str) -> dict[str, object]:
    return {"common_name": NAME, "dns_names": list(others), "csr": CSR, "signature_hash": "sha256"}


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["errors"][0]["code"])
