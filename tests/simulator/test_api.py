"""The API over real HTTP."""

import httpx2
import pytest

from tests.simulator.support import CALL, signed

OTHER = {"client_id": "42", "private_key": "k&e=y +%ключ~"}


async def test_websites_are_listed_in_the_vendors_shape(client):
    answer = await client.get("websites", {})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == [{"id": "12345", "name": "shop.example", "title": "The demonstration shop"}]


async def test_each_account_sees_its_own_sites(client):
    answer = await client.get("websites", {}, **OTHER)
    assert [site["id"] for site in answer.json()] == ["777"]


async def test_a_call_rings_with_every_parameter_as_it_was_sent(client):
    params = CALL | {
        "manager_phone": "78121234567",
        "active_page": "https://shop.example/~каталог/?q=a+b&utm_source=я#x",
        "client_ip": "203.0.113.7",
        "message_on_ring": "Звонок\nс сайта <b>",
        "nwt_action": "always_call",
        "call_stack_start_hour": "10",
        "call_stack_interval": "5",
        "referrer": "",
        "tags": ["a", "b c"],
    }
    await client.clock(to="day")
    answer = await client.post(params)
    assert answer.status_code == 200
    (call,) = await client.calls()
    assert call["params"] == params | {"tags": {"0": "a", "1": "b c"}}
    assert list(call["params"]) == list(params)
    assert (call["state"], call["client_phone"], call["manager_phone"]) == ("ringing", "79161234567", "78121234567")


async def test_a_call_without_manager_phone_rings_the_sites_manager(client):
    await client.post()
    (call,) = await client.calls()
    assert call["manager_phone"] == "74951234567"


async def test_an_identical_second_call_rings_a_second_time(client):
    body = signed(CALL)
    assert (await client.post_raw(body)).status_code == 200
    assert (await client.post_raw(body)).status_code == 200
    assert len(await client.calls()) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"site_id=12345&client_phone=79161234567",
        b"site_id=12345&client_phone=79161234567&client_id=4711",
        signed(CALL)[:-1] + b"x",
        signed(CALL).replace(b"79161234567", b"79161234568"),
        signed(CALL) + b"&manager_phone=74950000000",
        signed(CALL, private_key="wrong"),
        signed(CALL, client_id="9999"),
        signed(CALL).replace(b"client_id=", b"client_id[]="),
    ],
)
async def test_a_call_without_a_valid_signature_of_the_account_is_unauthorized(client, body):
    answer = await client.post_raw(body)
    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == 401
    assert await client.calls() == []


async def test_a_body_that_is_not_a_form_has_no_parameters_as_in_php(client):
    answer = await client.post_raw(signed(CALL), content_type="text/plain")
    assert answer.status_code == 401
    answer = await client.post_raw(signed(CALL), content_type="application/x-www-form-urlencoded; charset=utf-8")
    assert answer.status_code == 200


async def test_the_private_key_is_appended_to_the_signed_text_as_it_is(client):
    answer = await client.post(CALL | {"site_id": "777"}, **OTHER)
    assert answer.status_code == 200


async def test_another_accounts_site_is_forbidden(client):
    for answer in (await client.post(CALL, **OTHER), await client.get("statistics", {"site_id": "12345"}, **OTHER)):
        assert answer.status_code == 403
    assert await client.calls() == []


async def test_an_unknown_site_is_not_found(client):
    assert (await client.post(CALL | {"site_id": "1"})).status_code == 404
    assert (await client.get("statistics", {"site_id": "1"})).status_code == 404


@pytest.mark.parametrize("path", ["", "calls", "call/", "Call", "../v1/call/x"])
async def test_an_unknown_object_is_not_found(client, path):
    assert (await client.post_raw(signed(CALL), path=path)).status_code == 404


async def test_a_wrong_method_does_nothing(client):
    assert (await client.get("call", CALL)).status_code == 405
    assert (await client.post_raw(signed({}), path="websites")).status_code == 405
    assert await client.calls() == []


async def test_a_parameter_out_of_range_is_a_bad_request_that_names_the_parameter(client):
    answer = await client.post(CALL | {"nwt_action": "create_lead", "message_on_ring": "secret words"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("nwt_action: ")
    assert "secret" not in answer.text
    assert await client.calls() == []


async def test_a_body_over_one_mebibyte_is_too_large(client):
    answer = await client.post(CALL | {"referrer": "x" * 1024 * 1024})
    assert answer.status_code == 413


async def test_the_calls_of_one_night_are_queued_at_the_interval(client):
    await client.clock(now="2026-03-03T03:00:00+03:00", frozen=True)
    for _ in range(3):
        await client.post(CALL | {"nwt_action": "always_call", "call_stack_start_hour": 10, "call_stack_interval": 5})
    calls = await client.calls("?state=queued")
    assert [call["ring_at"] for call in calls] == [
        "2026-03-03T07:00:00.000+00:00",
        "2026-03-03T07:05:00.000+00:00",
        "2026-03-03T07:10:00.000+00:00",
    ]
    await client.clock(now="2026-03-03T10:05:00+03:00", frozen=True)
    assert [call["state"] for call in await client.calls()] == ["ringing", "ringing", "queued"]


async def test_create_leed_at_night_becomes_a_lead(client):
    await client.clock(now="2026-03-03T03:00:00+03:00")
    await client.post(CALL | {"nwt_action": "create_leed"})
    (call,) = await client.calls()
    assert (call["state"], call["ring_at"]) == ("lead", None)


async def statistics(client, **params):
    answer = await client.get("statistics", {"site_id": "12345", **params})
    assert answer.status_code == 200
    return [(item["client_phone"], item["date"], item["status"]) for item in answer.json()]


async def test_statistics_list_finished_calls_by_day_and_by_result(client):
    await client.control("POST", "results", {"result": "failed", "times": 1})
    for day, phone in ((2, "79160000002"), (3, "79160000003"), (4, "79160000004")):
        await client.clock(now=f"2026-03-0{day}T12:00:00+03:00", frozen=True)
        await client.post(CALL | {"client_phone": phone})
    assert [item[0] for item in await statistics(client)] == ["79160000002", "79160000003"]
    await client.clock(advance=60)
    second = ("79160000002", "02-03-2026 12:00:00", "failed")
    third = ("79160000003", "03-03-2026 12:00:00", "success")
    fourth = ("79160000004", "04-03-2026 12:00:00", "success")
    assert await statistics(client) == [second, third, fourth]
    assert await statistics(client, filter="success_calls") == [third, fourth]
    assert await statistics(client, filter="failed_calls") == [second]
    assert await statistics(client, date_from="03-03-2026") == [third, fourth]
    assert await statistics(client, date_from="02-03-2026", date_to="03-03-2026") == [second, third]
    assert await statistics(client, date_from="05-03-2026") == []


async def test_a_day_of_statistics_is_in_the_sites_time_zone(client):
    await client.clock(now="2026-03-02T23:30:00+00:00", frozen=True)
    await client.post()
    await client.clock(advance=60)
    assert len(await statistics(client, date_from="03-03-2026")) == 1


async def test_statistics_need_a_site_and_dates_in_the_vendors_format(client):
    assert (await client.get("statistics", {})).status_code == 400
    assert (await client.get("statistics", {"site_id": "12345", "date_from": "2026-03-02"})).status_code == 400


async def test_every_request_is_recorded_with_its_status(client):
    await client.post()
    await client.post(private_key="wrong")
    await client.get("websites", {})
    entries = [(entry["method"], entry["path"], entry["status"], entry["call"]) for entry in await client.requests()]
    assert entries == [
        ("POST", "/v1/call", 200, 1),
        ("POST", "/v1/call", 401, None),
        ("GET", "/v1/websites", 200, None),
    ]
    first = (await client.requests())[0]
    assert first["body"].encode() == signed(CALL)


async def test_bytes_that_are_not_utf_8_are_accepted_and_become_replacement_characters(client):
    answer = await client.post(CALL | {"referrer": b"\xff\xfeabc"})
    assert answer.status_code == 200
    (call,) = await client.calls()
    assert call["params"]["referrer"] == "\ufffd\ufffdabc"


async def test_it_runs_as_a_plain_asgi_app():
    from app.simulator.simulator_app import create_simulator

    transport = httpx2.ASGITransport(create_simulator())
    async with httpx2.AsyncClient(transport=transport, base_url="http://simulator") as plain:
        form = {"content-type": "application/x-www-form-urlencoded"}
        assert (await plain.post("/v1/call", content=signed(CALL), headers=form)).status_code == 200
        assert len((await plain.get("/_control/calls")).json()["calls"]) == 1
        refused = await plain.post("/_control/faults", json={"kind": "reset_after"})
        assert refused.status_code == 409
        assert (await plain.post("/_control/faults", json={"kind": "status", "status": 429})).status_code == 201
        assert (await plain.post("/v1/call", content=signed(CALL), headers=form)).status_code == 429
        await plain.post("/_control/faults", json={"kind": "hang_after", "seconds": 0})
        assert (await plain.post("/v1/call", content=signed(CALL), headers=form)).status_code == 503
        assert len((await plain.get("/_control/calls")).json()["calls"]) == 2
