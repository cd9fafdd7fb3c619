"""The client over HTTP against the simulator, which shares no code with it."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from app.chaser import (
    Call,
    ChaserClient,
    ChaserError,
    Forbidden,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Rejected,
    Unauthorized,
    Unavailable,
    UnreadableAnswer,
    Website,
)
from app.simulator.options import Account, Options, Site
from app.simulator.running import running
from app.simulator.server import Running
from tests.simulator.support import Client as Control

OURS = Account("4711", "k&e=y +%ключ~", (Site("12345", "shop.example"), Site("54321", "пример.рф", "Для тестов")))
OTHERS = Account("42", "other", (Site("777", "other.example"),))
CALL = Call(site_id=12345, client_phone="79161234567")
EVERYTHING = {
    "site_id": 12345,
    "client_phone": 79161234567,
    "manager_phone": "74951234567",
    "planned_time": datetime(2035, 1, 1, tzinfo=UTC),
    "active_page": "https://shop.example/~user/каталог?id=7&utm_source=я+ты#отзывы%20[1]",
    "client_ip": "2001:db8::7",
    "message_on_ring": "Звонок — «каталог» 📞\r\n",
    "nwt_action": "always_call",
    "call_stack_start_hour": 9,
    "call_stack_interval": 5,
    "referrer": "https://h.example/&PrivateSecurityKey=x&client_id=1",
}


@pytest.fixture
async def simulator() -> AsyncIterator[Running]:
    async with running(Options((OURS, OTHERS), ring_seconds=60.0)) as started:
        yield started


@pytest.fixture
async def control(simulator: Running) -> Control:
    return Control(simulator)


@pytest.fixture
async def chaser(simulator: Running) -> AsyncIterator[ChaserClient]:
    async with ChaserClient(OURS.client_id, OURS.private_key, api_url=simulator.api_url) as client:
        yield client


async def test_websites_are_those_of_the_account(chaser: ChaserClient):
    assert await chaser.websites() == [Website(12345, "shop.example", ""), Website(54321, "пример.рф", "Для тестов")]


async def test_a_call_rings_once_for_the_phone_it_names(chaser: ChaserClient, control: Control):
    result = await chaser.call(CALL)
    assert result.status == 200
    assert "call_id" in result.body_excerpt
    assert [call["client_phone"] for call in await control.calls()] == ["79161234567"]


async def test_every_parameter_arrives_unchanged(chaser: ChaserClient, control: Control):
    call = Call(**EVERYTHING)
    await chaser.call(call)
    (executed,) = await control.calls()
    assert list(executed["params"].items()) == [(name, str(value)) for name, value in call.parameters()]


async def test_statistics_list_a_finished_call_by_its_period_and_result(chaser: ChaserClient, control: Control):
    await control.clock(now="2026-03-02T12:00:00+03:00", frozen=True)
    await chaser.call(CALL)
    await control.clock(advance=3600)
    (item,) = await chaser.statistics(12345)
    assert item["client_phone"] == "79161234567"
    day = date(2026, 3, 2)
    assert await chaser.statistics(12345, day, day, "success_calls") == [item]
    assert await chaser.statistics(12345, filter="failed_calls") == []
    assert await chaser.statistics(12345, date_from=date(2026, 3, 3)) == []
    assert await chaser.statistics(54321) == []


@pytest.mark.parametrize(("client_id", "key"), [("4711", "wrong"), ("4712", OURS.private_key), ("4711 ", "k&e=y")])
async def test_a_wrong_account_is_unauthorized(simulator: Running, client_id: str, key: str):
    async with ChaserClient(client_id, key, api_url=simulator.api_url) as wrong:
        for request in (wrong.websites(), wrong.statistics(12345), wrong.call(CALL)):
            with pytest.raises(Unauthorized) as caught:
                await request
            assert caught.value.status == 401
            assert "Unauthorized" in caught.value.body_excerpt


@pytest.mark.parametrize(("site_id", "kind"), [(777, Forbidden), (99999, NotFound)])
async def test_a_site_of_another_account_is_forbidden_and_an_unknown_one_not_found(
    chaser: ChaserClient, control: Control, site_id: int, kind: type[ChaserError]
):
    for request in (chaser.statistics(site_id), chaser.call(Call(site_id=site_id, client_phone="79161234567"))):
        with pytest.raises(kind):
            await request
    assert await control.calls() == []


async def test_an_unknown_method_is_not_found(simulator: Running):
    address = simulator.api_url + "v2"
    async with ChaserClient(OURS.client_id, OURS.private_key, api_url=address) as wrong:
        with pytest.raises(NotFound):
            await wrong.websites()


# Every fault, the client's error, and whether the simulator had executed the call.
FAULTS: list[tuple[dict[str, Any], type[ChaserError], bool]] = [
    ({"kind": "hang_before"}, OutcomeUnknown, False),
    ({"kind": "hang_after"}, OutcomeUnknown, True),
    ({"kind": "reset_before"}, OutcomeUnknown, False),
    ({"kind": "reset_after"}, OutcomeUnknown, True),
    ({"kind": "close_before"}, OutcomeUnknown, False),
    ({"kind": "close_after"}, OutcomeUnknown, True),
    ({"kind": "garbage"}, OutcomeUnknown, True),
    ({"kind": "garbage", "execute": False}, OutcomeUnknown, False),
    ({"kind": "drip"}, OutcomeUnknown, True),
    ({"kind": "slow", "seconds": 60}, OutcomeUnknown, True),
    ({"kind": "status", "status": 500}, OutcomeUnknown, False),
    ({"kind": "status", "status": 500, "execute": True}, OutcomeUnknown, True),
    ({"kind": "status", "status": 503}, OutcomeUnknown, False),
    ({"kind": "status", "status": 202, "execute": True}, OutcomeUnknown, True),
    ({"kind": "status", "status": 302, "headers": {"location": "/v1/call"}}, OutcomeUnknown, False),
    ({"kind": "status", "status": 503, "headers": {"retry-after": "30"}}, Unavailable, False),
    ({"kind": "status", "status": 429}, Unavailable, False),
    ({"kind": "status", "status": 400}, Rejected, False),
    ({"kind": "status", "status": 401}, Unauthorized, False),
    ({"kind": "status", "status": 403}, Forbidden, False),
    ({"kind": "status", "status": 404}, NotFound, False),
]


@pytest.mark.parametrize(("fault", "kind", "executed"), FAULTS)
async def test_the_error_of_a_failed_call_shows_whether_it_may_have_been_executed(
    simulator: Running, control: Control, fault: dict[str, Any], kind: type[ChaserError], executed: bool
):
    await control.fault(**fault)
    hangs = fault["kind"] in {"hang_before", "hang_after", "drip", "slow"}
    timeout = 1.0 if hangs else 10.0
    async with ChaserClient(OURS.client_id, OURS.private_key, api_url=simulator.api_url, timeout=timeout) as chaser:
        with pytest.raises(ChaserError) as caught:
            await chaser.call(CALL)
        assert type(caught.value) is kind
        assert len(await control.calls()) == int(executed)
        assert len(await control.requests()) == 1
        # A retry is executed, so after NotSent and Unavailable there is exactly one call.
        await chaser.call(CALL)
    assert len(await control.calls()) == 1 + int(executed)


async def test_a_refused_connection_is_not_sent(chaser: ChaserClient, control: Control):
    await control.fault("refuse")
    with pytest.raises(NotSent):
        await chaser.call(CALL)
    await control.control("DELETE", "faults")
    assert await control.requests() == []
    await chaser.call(CALL)
    assert len(await control.calls()) == 1


@pytest.mark.parametrize("fault", [{"kind": "cut_body"}, {"kind": "drip_body", "seconds": 5}])
async def test_a_call_with_a_200_and_a_broken_body_is_a_success(
    simulator: Running, control: Control, fault: dict[str, Any]
):
    await control.fault(**fault)
    async with ChaserClient(OURS.client_id, OURS.private_key, api_url=simulator.api_url, timeout=1.0) as chaser:
        result = await chaser.call(CALL)
    assert result.status == 200
    assert len(await control.calls()) == 1


@pytest.mark.parametrize("fault", [{"kind": "cut_body"}, {"kind": "status", "status": 200, "body": "<html>"}])
async def test_a_response_of_websites_that_is_truncated_or_not_json_is_unreadable(
    chaser: ChaserClient, control: Control, fault: dict[str, Any]
):
    await control.fault(**fault)
    with pytest.raises(UnreadableAnswer):
        await chaser.websites()
    assert len(await chaser.websites()) == 2


async def test_retry_after_of_chaser_is_in_the_error(chaser: ChaserClient, control: Control):
    await control.fault("status", status=503, headers={"retry-after": "30"}, body="busy")
    with pytest.raises(Unavailable) as caught:
        await chaser.call(CALL)
    assert (caught.value.retry_after, caught.value.body_excerpt) == (30.0, "busy")
