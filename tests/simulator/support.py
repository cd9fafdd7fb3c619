"""Test support: signed requests to the simulator, made without the service's own client."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from app.simulator.options import DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, DEMO_SITE_ID
from app.simulator.php import Array, http_build_query
from app.simulator.request_rules import security_key
from app.simulator.server import Running

CALL = {"site_id": DEMO_SITE_ID, "client_phone": "79161234567"}


def array(params: Mapping[str, Any]) -> Array:
    """Convert parameters to a PHP array: text to bytes, lists and maps to arrays."""
    return {key.encode(): _value(value) for key, value in params.items()}


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key.encode(): _value(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return {index: _value(item) for index, item in enumerate(value)}
    return value if isinstance(value, bytes) else str(value).encode()


def signed(params: Mapping[str, Any], client_id: str = DEMO_CLIENT_ID, private_key: str = DEMO_PRIVATE_KEY) -> bytes:
    """Return the query or body of a signed request."""
    full = array({**params, "client_id": client_id})
    full[b"SecurityKey"] = security_key(full, private_key).encode()
    return http_build_query(full)


def http(timeout: float = 5.0) -> httpx2.AsyncClient:
    """Return an HTTP client without keep-alive. It does not load the certificates, which plain HTTP doesn't need."""
    return httpx2.AsyncClient(timeout=timeout, verify=False, limits=httpx2.Limits(max_keepalive_connections=0))


class Client:
    """A client of one simulator's API and control API; each request has a connection of its own."""

    def __init__(self, simulator: Running, timeout: float = 5.0) -> None:
        self.simulator = simulator
        self.timeout = timeout

    async def get(self, method: str, params: Mapping[str, Any], **account: str) -> httpx2.Response:
        async with http(self.timeout) as client:
            return await client.get(f"{self.simulator.api_url}{method}?{signed(params, **account).decode()}")

    async def post(self, params: Mapping[str, Any] = CALL, **account: str) -> httpx2.Response:
        return await self.post_raw(signed(params, **account))

    async def post_raw(
        self, body: bytes, content_type: str = "application/x-www-form-urlencoded", path: str = "call"
    ) -> httpx2.Response:
        async with http(self.timeout) as client:
            headers = {"content-type": content_type}
            return await client.post(f"{self.simulator.api_url}{path}", content=body, headers=headers)

    async def control(self, method: str, path: str, data: Any = None) -> httpx2.Response:
        async with http() as client:
            json = {"json": data} if data is not None else {}
            return await client.request(method, f"{self.simulator.control_url}{path}", **json)

    async def calls(self, query: str = "") -> list[dict[str, Any]]:
        return (await self.control("GET", f"calls{query}")).json()["calls"]

    async def requests(self, query: str = "") -> list[dict[str, Any]]:
        return (await self.control("GET", f"requests{query}")).json()["requests"]

    async def fault(self, kind: str, **fields: Any) -> None:
        answer = await self.control("POST", "faults", {"kind": kind, **fields})
        assert answer.status_code == 201, answer.text

    async def clock(self, **fields: Any) -> None:
        answer = await self.control("POST", "clock", fields)
        assert answer.status_code == 200, answer.text
