"""Each fault as a client sees it, and whether the call is executed."""

import asyncio

import httpx2
import pytest

from app.simulator.fault_script import CONNECTION_FAULTS
from app.simulator.running import running
from tests.simulator.support import Client, http


@pytest.fixture
def impatient(client):
    """A client with a timeout of half a second between bytes."""
    return Client(client.simulator, timeout=0.5)


@pytest.mark.parametrize(
    ("fault", "error", "executed"),
    [
        ("refuse", httpx2.ConnectError, False),
        ("reset_unread", httpx2.ReadError, False),
        ("reset_before", httpx2.ReadError, False),
        ("reset_after", httpx2.ReadError, True),
        ("close_before", httpx2.RemoteProtocolError, False),
        ("close_after", httpx2.RemoteProtocolError, True),
        ("hang_before", httpx2.ReadTimeout, False),
        ("hang_after", httpx2.ReadTimeout, True),
        ("garbage", httpx2.RemoteProtocolError, True),
        ("cut_body", httpx2.RemoteProtocolError, True),
    ],
)
async def test_each_fault_causes_its_error_before_or_after_execution(impatient, fault, error, executed):
    await impatient.fault(fault)
    with pytest.raises(httpx2.TransportError) as caught:
        await impatient.post()
    assert type(caught.value) is error
    assert len(await impatient.calls()) == executed
    if executed:
        assert (await impatient.calls())[0]["fault"] == fault
    recorded = [(entry["fault"], entry["executed"]) for entry in await impatient.requests()]
    assert recorded == ([] if fault in CONNECTION_FAULTS else [(fault, executed)])
    await impatient.control("DELETE", "faults")
    assert (await impatient.post()).status_code == 200


@pytest.mark.parametrize("fault", ["garbage", "cut_body", "drip", "drip_body"])
async def test_an_answer_can_be_corrupted_without_the_call_being_executed(impatient, fault):
    await impatient.fault(fault, execute=False, seconds=0)
    try:
        await impatient.post()
    except httpx2.RemoteProtocolError:
        assert fault in ("garbage", "cut_body")
    assert await impatient.calls() == []


async def test_the_headers_of_a_truncated_answer_arrive(client):
    await client.fault("cut_body")
    url = f"{client.simulator.api_url}call"
    async with http() as session, session.stream("POST", url) as answer:
        assert answer.status_code == 401
        assert int(answer.headers["content-length"]) > 0
        with pytest.raises(httpx2.RemoteProtocolError):
            await answer.aread()


@pytest.mark.parametrize("fault", ["drip", "drip_body"])
async def test_a_dripping_answer_arrives_complete(client, fault):
    await client.fault(fault, seconds=0.001)
    answer = await client.post()
    assert (answer.status_code, answer.json()["result"]) == (200, "ok")


async def test_the_headers_before_a_dripping_body_arrive_at_once(client):
    await client.fault("drip_body", seconds=60)
    url = f"{client.simulator.api_url}call"
    async with http() as session, session.stream("POST", url) as answer:
        assert answer.status_code == 401


@pytest.mark.parametrize("fault", ["drip", "drip_body", "hang_after", "slow"])
async def test_only_a_deadline_for_the_whole_call_ends_the_wait_for_a_slow_server(client, fault):
    await client.fault(fault, seconds=3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.post()
    assert len(await client.calls()) == 1


async def test_a_slow_answer_is_a_correct_one(client):
    await client.fault("slow", seconds=0.05)
    assert (await client.post()).status_code == 200


async def test_a_hanging_request_is_closed_after_its_seconds(client):
    await client.fault("hang_before", seconds=0.05)
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.post()


async def test_any_status_can_be_answered_with_headers(client):
    await client.fault("status", status=503, headers={"Retry-After": "7"})
    answer = await client.post()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.json()["error"]["status"] == 503
    assert await client.calls() == []


@pytest.mark.parametrize("status", [200, 204, 302, 304, 401, 403, 404, 418, 429, 500, 599])
async def test_a_scripted_status_may_come_with_an_executed_call(client, status):
    await client.fault("status", status=status, execute=True, body="whatever", headers={"location": "/elsewhere"})
    answer = await client.post()
    assert answer.status_code == status
    assert answer.text == ("" if status in (204, 304) else "whatever")
    assert len(await client.calls()) == 1


async def test_a_fault_for_one_path_does_not_affect_others(client):
    await client.fault("status", status=500, path="/v1/call")
    assert (await client.get("websites", {})).status_code == 200
    assert (await client.post()).status_code == 500


async def test_a_fault_lasts_for_as_many_requests_as_scripted(client):
    await client.fault("status", status=500, times=2)
    assert [(await client.post()).status_code for _ in range(3)] == [500, 500, 200]


async def test_the_api_port_opens_again_after_its_seconds(client):
    await client.fault("refuse", seconds=0.2)
    with pytest.raises(httpx2.ConnectError):
        await client.post()
    async with asyncio.timeout(5):
        while True:
            try:
                answer = await client.post()
                break
            except httpx2.ConnectError:
                await asyncio.sleep(0.02)
    assert answer.status_code == 200
    assert (await client.control("GET", "faults")).json() == {"faults": []}


async def test_a_closed_port_closes_keep_alive_connections(client):
    async with httpx2.AsyncClient(verify=False) as session:
        url = f"{client.simulator.api_url}websites"
        assert (await session.get(url)).status_code == 401
        await client.fault("refuse")
        with pytest.raises(httpx2.ConnectError):
            await session.get(url)


async def test_the_port_can_be_closed_twice_and_opened_twice(client):
    await client.fault("refuse", seconds=60)
    await client.fault("refuse")
    assert len((await client.control("GET", "faults")).json()["faults"]) == 2
    await client.control("DELETE", "faults")
    await client.control("DELETE", "faults")
    assert (await client.post()).status_code == 200


async def test_without_a_control_port_refuse_needs_a_duration():
    async with running(control_port=None) as simulator:
        client = Client(simulator)
        answer = await client.control("POST", "faults", {"kind": "refuse"})
        assert answer.status_code == 409
        assert (await client.post()).status_code == 200
        answer = await client.control("POST", "faults", {"kind": "refuse", "seconds": 0.1})
        assert answer.status_code == 201
        with pytest.raises(httpx2.ConnectError):
            await client.post()
