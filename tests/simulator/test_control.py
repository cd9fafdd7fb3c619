"""The control API over real HTTP."""

import asyncio
import json

import pytest

from tests.simulator.support import CALL, http


async def test_the_control_api_lists_its_endpoints(client):
    guide = (await client.control("GET", "")).json()
    assert "POST /_control/faults" in guide


async def test_both_ports_serve_the_control_api_and_the_api(client):
    async with http() as session:
        for origin in (client.simulator.url, client.simulator.control_origin):
            assert (await session.get(f"{origin}/_control/state")).status_code == 200
            assert (await session.get(f"{origin}/v1/websites")).status_code == 401


async def test_calls_can_be_polled_from_a_sequence_number(client):
    for _ in range(3):
        await client.post()
    answer = (await client.control("GET", "calls?since=1")).json()
    assert ([call["seq"] for call in answer["calls"]], answer["last"]) == ([2, 3], 3)
    answer = (await client.control("GET", "calls?since=3")).json()
    assert (answer["calls"], answer["last"]) == ([], 3)


async def test_calls_can_be_filtered(client):
    await client.post()
    await client.post(CALL | {"client_phone": "79160000000"})
    assert [call["seq"] for call in await client.calls("?client_phone=79160000000")] == [2]
    assert await client.calls("?state=lead") == []
    assert len(await client.calls("?state=ringing&site_id=12345")) == 2


async def test_requests_can_be_filtered(client):
    await client.post()
    await client.post(private_key="wrong")
    assert [entry["seq"] for entry in await client.requests("?status=401")] == [2]
    assert [entry["seq"] for entry in await client.requests("?since=1&path=/v1/call&method=POST")] == [2]


@pytest.mark.parametrize("path", ["calls?phone=1", "calls?since=x", "requests?since=-1", "requests?executed=true"])
async def test_an_unknown_filter_is_refused(client, path):
    assert (await client.control("GET", path)).status_code == 422


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"now": 1_790_000_000}, "2026-09-21T14:13:20.000+00:00"),
        ({"now": "2026-03-03T03:00:00+03:00"}, "2026-03-03T00:00:00.000+00:00"),
    ],
)
async def test_the_clock_can_be_set(client, data, expected):
    state = (await client.control("POST", "clock", data | {"frozen": True})).json()
    assert state["clock"]["now"] == expected
    assert state["clock"]["frozen"] is True


async def test_a_frozen_clock_can_be_advanced_and_stays_frozen(client):
    await client.clock(now=1_790_000_000, frozen=True)
    await client.clock(advance=90)
    clock = (await client.control("GET", "state")).json()["clock"]
    assert (clock["now"], clock["frozen"]) == ("2026-09-21T14:14:50.000+00:00", True)


async def test_the_clock_can_be_set_to_the_night_to_the_day_and_to_the_real_time(client):
    night = (await client.control("POST", "clock", {"to": "night"})).json()["clock"]
    assert (night["working"], night["real"]) == (False, False)
    assert night["now"][11:13] == "00"  # 3:00 in Moscow
    day = (await client.control("POST", "clock", {"to": "day"})).json()["clock"]
    assert day["working"] is True
    real = (await client.control("POST", "clock", {"to": "real"})).json()["clock"]
    assert real["real"] is True


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"now": 1, "advance": 1},
        {"frozen": True},
        {"now": "2026-03-03T03:00:00"},
        {"now": "yesterday"},
        {"now": 1e30},
        {"advance": 1e30},
        {"advance": "1"},
        {"to": "noon"},
        {"to": "night", "frozen": 1},
        {"time": 1},
        [],
    ],
)
async def test_invalid_json_for_the_clock_is_refused(client, data):
    assert (await client.control("POST", "clock", data)).status_code == 422


@pytest.mark.parametrize("data", [{"result": "maybe"}, {"result": "failed", "times": 0}, {"results": "failed"}])
async def test_invalid_json_for_a_result_is_refused(client, data):
    assert (await client.control("POST", "results", data)).status_code == 422


async def test_an_unknown_fault_is_refused_with_the_known_ones(client):
    answer = await client.control("POST", "faults", {"kind": "explode"})
    assert answer.status_code == 422
    assert "reset_after" in answer.json()["error"]["message"]


async def test_a_page_of_another_origin_cannot_script_faults(client):
    async with http() as session:
        answer = await session.post(
            f"{client.simulator.control_url}faults",
            content=json.dumps({"kind": "reset_after"}),
            headers={"content-type": "text/plain"},
        )
    assert answer.status_code == 415
    assert (await client.post()).status_code == 200


async def test_clearing_the_ledger_keeps_clock_and_faults(client):
    await client.clock(now=1_790_000_000, frozen=True)
    await client.post()
    await client.fault("status", status=500)
    before = (await client.control("GET", "state")).json()
    after = (await client.control("DELETE", "ledger")).json()
    assert (after["counts"]["calls"], after["counts"]["requests"]) == (0, 0)
    assert after["epoch"] == before["epoch"] + 1
    assert after["clock"]["frozen"] is True
    assert len(after["faults"]) == 1


async def test_a_reset_clears_everything_and_opens_the_port(client):
    await client.clock(now=1_790_000_000, frozen=True)
    await client.post()
    await client.control("POST", "results", {"result": "failed", "times": 5})
    await client.fault("status", status=500, times=None)
    await client.fault("refuse")
    state = (await client.control("POST", "reset", {})).json()
    assert (state["faults"], state["counts"]["calls"], state["clock"]["real"]) == ([], 0, True)
    await client.clock(now=1_790_000_000, frozen=True)
    assert (await client.post()).status_code == 200
    await client.clock(advance=120)
    (call,) = await client.calls()
    assert call["result"] == "success"


async def next_event(lines):
    async with asyncio.timeout(5):
        async for line in lines:
            if line.startswith("data: "):
                return json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream ended")


async def test_the_live_stream_begins_with_the_current_state_and_continues_with_changes(client):
    await client.clock(now="2026-03-03T03:00:00+03:00", frozen=True)
    await client.post(CALL | {"nwt_action": "create_leed"})
    url = f"{client.simulator.control_url}events"
    async with http() as session, session.stream("GET", url) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        first = await next_event(lines)
        assert [call["state"] for call in first["calls"]] == ["lead"]
        assert [entry["status"] for entry in first["recent"]] == [200]
        await client.post(CALL | {"nwt_action": "always_call"})
        second = await next_event(lines)
        assert [call["state"] for call in second["calls"]] == ["queued"]
        await client.clock(now="2026-03-03T09:00:00+03:00", frozen=True)
        event = await next_event(lines)
        assert [call["state"] for call in event["calls"]] == ["ringing"]
        await client.control("DELETE", "ledger")
        event = await next_event(lines)
        assert (event["calls"], event["epoch"]) == ([], first["epoch"] + 1)
