"""Held requests: why a request is held until an operator decides, what its sender is told, and how many may be."""

from dataclasses import replace
from typing import Any

import pytest

from app.admission.admission_request import AdmissionConfig
from app.admission.decide import decide
from app.admission.holding import NOT_SUSPICIOUS
from app.outbox.callback import Status
from tests.admission.deciding import (
    API_KEY,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    OTHER_ADDRESS,
    OTHER_PHONE,
    PHONE,
    SECOND,
    StoredRing,
    answered,
    config,
    covered_by,
    refused,
    request,
    result,
    results,
    snapshot,
    stored,
)
from tests.outbox.factories import callback, from_address

SUSPICIOUS = ["blocked_phone", "honeypot", "sent_too_fast", "suspicious_network"]
SITE = "site_budget"
LATER = NOW + 9 * HOUR
FULL = config({"per_site": "1/hour", "held_per_site": "200/day"})
"""The site has room for one ring an hour."""
RING = StoredRing(NOW - MINUTE)


def phone(number: int) -> str:
    return f"7916{number:07}"


def suspicious(reason: str, **changes: Any) -> Any:
    if reason == "blocked_phone":
        return request(phone_blocked=True, **changes)
    return request(held_for=reason, **changes)


@pytest.mark.parametrize("reason", SUSPICIOUS)
def test_a_suspicious_request_is_held_and_answered_like_any_other(reason: str) -> None:
    decision = decide(suspicious(reason, rings_at=LATER), snapshot(), config())
    usual = decide(request(client_phone=OTHER_PHONE, rings_at=LATER), snapshot(), config())
    assert (result(decision), decision.admitted and decision.admitted.status) == (f"held for {reason}", "held")
    assert decision.answer == replace(answered(usual), id=answered(decision).id)
    assert (decision.merge, decision.budget) == (None, ())


def test_with_an_api_key_a_blocked_phone_is_refused() -> None:
    decision = decide(request(api_key=API_KEY, phone_blocked=True), snapshot(), config())
    assert (result(decision), refused(decision).status) == ("blocked", 403)


def test_with_an_api_key_a_site_over_its_budget_refuses() -> None:
    decision = decide(request(api_key=API_KEY), snapshot(rings=[RING]), FULL)
    assert (result(decision), refused(decision).status, refused(decision).retry_after) == ("quota_site", 429, 3600)


def test_at_a_site_over_its_budget_a_visitors_request_is_held() -> None:
    decision = decide(request(), snapshot(rings=[RING]), FULL)
    assert (result(decision), decision.admitted and decision.admitted.status) == ("held for site_budget", "held")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"phone_blocked": True, "held_for": "honeypot"}, "held for blocked_phone"),
        ({"held_for": "honeypot"}, "held for honeypot"),
        ({}, "held for burst"),
    ],
)
def test_of_several_reasons_to_hold_the_first_one_counts(changes: dict[str, Any], expected: str) -> None:
    rules = config({"per_site": "1/hour", "per_address": "1/minute;9/hour"})
    found = snapshot(requests=[callback(client_phone=OTHER_PHONE, created_at=NOW - SECOND)], rings=[RING])
    assert result(decide(request(**changes), found, rules)) == expected


@pytest.mark.parametrize(
    ("reason", "full"), [(reason, full) for reason in (*SUSPICIOUS, "burst") for full in (False, True)] + [(SITE, True)]
)
def test_no_time_is_promised_for_a_burst_and_none_to_anybody_at_a_site_over_its_budget(
    reason: str, *, full: bool
) -> None:
    rules = config({"per_site": "1/hour" if full else "9/hour", "per_address": "1/minute;9/hour"})
    burst = [callback(client_phone=OTHER_PHONE, created_at=NOW - SECOND)] if reason == "burst" else []
    mine = request() if reason in NOT_SUSPICIOUS else suspicious(reason)
    decision = decide(mine, snapshot(requests=burst, rings=[RING]), rules)
    assert result(decision) == f"held for {reason}"
    is_told = not full and reason != "burst"
    assert answered(decision).call_expected_at == (NOW if is_told else None)
    assert decision.admitted is not None
    assert decision.admitted.callback.call_expected_at == answered(decision).call_expected_at


def test_a_held_request_for_the_same_call_and_reason_shares_its_row() -> None:
    found = snapshot()
    first, again = (decide(request(held_for="honeypot"), found, config()) for _ in range(2))
    assert (first.admitted and first.admitted.status, covered_by(first)) == ("held", None)
    assert (again.admitted and again.admitted.status, covered_by(again)) == ("duplicate", answered(first).id)
    assert again.merge is None
    assert again.answer == replace(answered(first), id=answered(again).id)
    assert covered_by(decide(request(held_for="honeypot"), found, config())) == answered(first).id, "not a duplicate's"


@pytest.mark.parametrize(
    "other",
    [
        {"held_for": "sent_too_fast"},
        {"client_phone": OTHER_PHONE},
        {"site": "blog"},
        {"department": "sales"},
        {"planned_time": NOW + HOUR},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_held_request_for_another_call_or_reason_has_a_row_of_its_own(other: dict[str, Any]) -> None:
    found = snapshot(stored(Status.HELD))
    decision = decide(request(**{"held_for": "honeypot"} | other), found, config())
    assert decision.admitted is not None
    assert decision.admitted.status is Status.HELD


def test_a_held_request_covers_no_other_and_is_covered_by_none() -> None:
    assert result(decide(request(), snapshot(stored(Status.HELD)), config())) == "queued"
    assert result(decide(request(held_for="honeypot"), snapshot(stored()), config())) == "held for honeypot"


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PLACED, Status.CANCELLED])
def test_a_released_or_cancelled_request_no_longer_shares_its_row(status: Status) -> None:
    found = snapshot(stored(status, held_for="honeypot"))
    decision = decide(request(held_for="honeypot"), found, config())
    assert decision.admitted is not None
    assert decision.admitted.status is Status.HELD


def held(number: int, reason: str = "honeypot", address: str = OTHER_ADDRESS, **changes: Any) -> Any:
    return from_address(address, held_for=reason, client_phone=phone(number), **changes)


BUDGETS = {"suspicious": ("honeypot", "sent_too_fast"), "others": ("burst", "site_budget")}


def fifty_addresses(reason: str, count: int, **changes: Any) -> list[Any]:
    return [held(number, reason, f"198.51.100.{number % 50}", **changes) for number in range(count)]


def decide_for(reason: str, found: Any, rules: AdmissionConfig, **changes: Any) -> str:
    """Decide a request that is held for a reason, at a site without room for another ring."""
    if reason in NOT_SUSPICIOUS:
        return result(decide(request(**changes), found, rules))
    return result(decide(request(held_for=reason, **changes), found, rules))


@pytest.mark.parametrize(("mine", "other"), [("suspicious", "others"), ("others", "suspicious")])
def test_each_kind_of_held_requests_has_a_budget_of_its_own(mine: str, other: str) -> None:
    rules = config({"per_site": "1/hour", "held_per_site": "100/day"})
    reason, *_ = BUDGETS[mine] if mine == "suspicious" else ("site_budget",)
    full = [*fifty_addresses(BUDGETS[mine][0], 50), *fifty_addresses(BUDGETS[mine][1], 49)]
    of_others = [*fifty_addresses(BUDGETS[other][0], 50), *fifty_addresses(BUDGETS[other][1], 50)]
    with_room = snapshot(held=[*full, *of_others], rings=[RING])
    assert decide_for(reason, with_room, rules) == f"held for {reason}"
    assert decide_for(reason, with_room, rules, client_phone=OTHER_PHONE) == "quota_site"


@pytest.mark.parametrize("reason", ["honeypot", "site_budget"])
def test_beyond_the_budget_of_held_requests_the_wait_is_the_window_of_that_budget(reason: str) -> None:
    rules = config({"per_site": "9/day;1/hour", "held_per_site": "100/day"})
    found = snapshot(held=fifty_addresses(reason, 100), rings=[RING])
    mine = request(held_for=reason) if reason == "honeypot" else request()
    refusal = refused(decide(mine, found, rules))
    assert (refusal.code, refusal.status, refusal.retry_after) == ("quota_site", 429, DAY.total_seconds())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"created_at": NOW - DAY}, "held for honeypot"),
        ({"created_at": NOW - DAY + SECOND}, "quota_site"),
        ({"site": "blog"}, "held for honeypot"),
    ],
    ids=["a day ago", "a second less", "another site"],
)
def test_the_budget_of_held_requests_counts_those_of_the_site_within_the_window(
    changes: dict[str, Any], expected: str
) -> None:
    found = snapshot(held=fifty_addresses("honeypot", 100, **changes))
    assert decide_for("honeypot", found, config({"held_per_site": "100/day"})) == expected


def test_each_of_several_limits_of_held_requests_counts() -> None:
    found = snapshot(held=fifty_addresses("honeypot", 40, created_at=NOW - 30 * MINUTE))
    assert decide_for("honeypot", found, config({"held_per_site": "40/hour;1000/day"})) == "quota_site"


def test_duplicates_of_a_held_request_count_in_the_budget() -> None:
    """Otherwise a stranger could store any number of rows."""
    some = [request(f"198.51.100.{number}", held_for="honeypot") for number in range(21)]
    answers = results(some, snapshot(), config({"held_per_site": "20/day"}))
    assert answers == ["held for honeypot"] * 20 + ["quota_site"]


NETWORKS = {"/32": (OTHER_ADDRESS, 1), "/64": ("2001:db8::{:x}", 1), "/56": ("2001:db8:0:{:x}::1", 2)}
NETWORKS["/48"] = ("2001:db8:0:{:x}00::1", 4)


@pytest.mark.parametrize(("network", "times"), NETWORKS.values(), ids=NETWORKS)
def test_one_address_may_use_a_tenth_of_the_budget_of_suspicious_requests(network: str, times: int) -> None:
    rules = config({"held_per_site": "70/day"})
    found = snapshot(held=[held(number, address=network.format(number)) for number in range(1, 7 * times)])
    assert decide_for("honeypot", found, rules, client_phone=phone(99)) == "held for honeypot"
    last, beyond = (
        decide(request(network.format(number), held_for="honeypot"), found, rules) for number in (7 * times, 99)
    )
    assert result(last) == "held for honeypot"
    refusal = refused(beyond)
    assert (refusal.code, refusal.status, refusal.retry_after) == ("quota_client", 429, DAY.total_seconds())
    assert result(decide(request("192.0.2.1", held_for="honeypot"), found, rules)) == "held for honeypot"


def test_one_address_may_always_have_one_held_request() -> None:
    rules = config({"held_per_site": "3/day"})
    some = [request(held_for="honeypot"), request(held_for="honeypot")]
    assert results(some, snapshot(), rules) == ["held for honeypot", "quota_client"]


def test_one_address_may_use_all_of_the_other_budget() -> None:
    """Everybody at a site over its budget may come from one carrier."""
    rules = config({"per_site": "1/hour", "held_per_site": "20/day"})
    some = [request(OTHER_ADDRESS, client_phone=phone(number)) for number in range(21)]
    assert results(some, snapshot(rings=[RING]), rules) == ["held for site_budget"] * 20 + ["quota_site"]


def test_held_requests_use_up_no_other_limit() -> None:
    """Otherwise a bot could close a site, and a stranger could lock a number or an address."""
    rules = config({"per_site": "2/hour", "per_address": "2/hour", "per_address_phones": "2/hour"}, per_phone="1/hour")
    some = [request(held_for="honeypot", client_phone=PHONE) for _ in range(30)]
    bursts = [request(phone_blocked=True, client_phone=phone(number)) for number in range(30)]
    assert results([*some, *bursts, request()], snapshot(), rules)[-1] == "queued"


def test_a_phone_at_its_cap_does_not_show_in_the_answer_to_a_held_request() -> None:
    full = stored(Status.PLACED, site="blog")
    assert result(decide(request(held_for="honeypot"), snapshot(full), config(per_phone="1/hour"))) == (
        "held for honeypot"
    )
