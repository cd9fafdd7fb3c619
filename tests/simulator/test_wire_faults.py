"""What a client sees of each fault, and whether the call was executed all the same."""

import asyncio

import httpx2
import pytest

from app.simulator.fault_script import OF_CONNECTIONS
from app.simulator.running import running
from tests.simulator.support import Client, http


@pytest.fixture
def hasty(client):
    """A client that loses patience after half a second without a byte."""
    return Client(client.simulator, timeout=0.5)


@pytest.mark.parametrize(
    ("fault", "seen", "executed"),
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
async def test_what_a_failure_proves_about_a_call(hasty, fault, seen, executed):
    await hasty.fault(fault)
    with pytest.raises(httpx2.TransportError) as caught:
        await hasty.post()
    assert type(caught.value) is seen
    assert len(await hasty.calls()) == executed
    if executed:
        assert (await hasty.calls())[0]["fault"] == fault
    noted = [(entry["fault"], entry["executed"]) for entry in await hasty.requests()]
    assert noted == ([] if fault in OF_CONNECTIONS else [(fault, executed)])
    await hasty.control("DELETE", "faults")
    assert (await hasty.post()).status_code == 200


@pytest.mark.parametrize("fault", ["garbage", "cut_body", "drip", "drip_body"])
async def test_an_answer_can_be_spoilt_without_the_call_being_executed(hasty, fault):
    await hasty.fault(fault, execute=False, seconds=0)
    try:
        await hasty.post()
    except httpx2.RemoteProtocolError:
        assert fault in ("garbage", "cut_body")
    assert await hasty.calls() == []


async def test_the_head_of_a_cut_answer_arrives_before_the_cut(client):
    await client.fault("cut_body")
    url = f"{client.simulator.api_url}call"
    async with http() as session, session.stream("POST", url) as answer:
        assert answer.status_code == 401
        assert int(answer.headers["content-length"]) > 0
        with pytest.raises(httpx2.RemoteProtocolError):
            await answer.aread()


@pytest.mark.parametrize("fault", ["drip", "drip_body"])
async def test_a_dripping_answer_arrives_whole_in_the_end(client, fault):
    await client.fault(fault, seconds=0.001)
    answer = await client.post()
    assert (answer.status_code, answer.json()["result"]) == (200, "ok")


async def test_the_head_of_an_answer_with_a_dripping_body_is_there_at_once(client):
    await client.fault("drip_body", seconds=60)
    url = f"{client.simulator.api_url}call"
    async with http() as session, session.stream("POST", url) as answer:
        assert answer.status_code == 401


@pytest.mark.parametrize("fault", ["drip", "drip_body", "hang_after", "slow"])
async def test_only_a_deadline_for_the_whole_call_ends_the_wait_for_a_slow_far_side(client, fault):
    await client.fault(fault, seconds=3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.post()
    assert len(await client.calls()) == 1


async def test_a_slow_answer_is_a_proper_one(client):
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


async def test_a_fault_for_one_path_spares_the_others(client):
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


async def test_a_closed_port_drops_kept_alive_connections_too(client):
    async with httpx2.AsyncClient(verify=False) as session:
        url = f"{client.simulator.api_url}websites"
        assert (await session.get(url)).status_code == 401
        await client.fault("refuse")
        with pytest.raises(httpx2.ConnectError):
            await session.get(url)


async def test_closing_the_port_twice_and_opening_it_twice_is_harmless(client):
    await client.fault("refuse", seconds=60)
    await client.fault("refuse")
    assert len((await client.control("GET", "faults")).json()["faults"]) == 2
    await client.control("DELETE", "faults")
    await client.control("DELETE", "faults")
    assert (await client.post()).status_code == 200


async def test_without_a_control_port_a_closed_port_must_open_by_itself():
    async with running(control_port=None) as simulator:
        client = Client(simulator)
        answer = await client.control("POST", "faults", {"kind": "refuse"})
        assert answer.status_code == 409
        assert (await client.post()).status_code == 200
        answer = await client.control("POST", "faults", {"kind": "refuse", "seconds": 0.1})
        assert answer.status_code == 201
        with pytest.raises(httpx2.ConnectError):
            await client.post()
