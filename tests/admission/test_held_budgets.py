"""Requests that ring nobody use up nobody else's room, and strangers can't fill the database with them."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.admission.world import DAY, HOUR, OPEN, Shop, World, assert_refused, world
from tests.running import ORIGIN, phone, until
from tests.solving import solve

KINDS = ["honeypot", "sent_too_fast", "blocked_phone"]
TIGHT = {
    "per_phone": "3/hour",
    "per_address": "5/minute;20/hour",
    "per_address_phones": "3/minute;10/hour",
    "per_site": "8/hour",
    "held_per_site": "100/day",
}
PAGE_CHALLENGES = Shop(settings={"challenge": "on"})


def suspicious(here: World, kind: str, number: str, address: str, site: str = "shop") -> int:
    """Send a request that is held, and return the status code of the answer."""
    fields = {}
    if kind == "honeypot":
        fields = {"website": "https://spam.example"}
    elif kind == "sent_too_fast":
        site = "guarded"
        fields = {"challenge": solve(here.http, site, **{"x-forwarded-for": address})}
        here.clock.advance(seconds=1.2)
    else:
        here.block(f"+{number}")
    return here.ask(number, address, site=site, **fields).status_code


def spend(here: World, kind: str, numbers: list[str], addresses: list[str]) -> None:
    for number, address in zip(numbers, addresses, strict=True):
        assert suspicious(here, kind, number, address) in (202, 429)


@pytest.mark.parametrize("one_address", [True, False], ids=["from one address", "from many"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_never_rings_uses_up_nobody_elses_room(migrated_url: str, kind: str, one_address: bool) -> None:
    number = phone()
    shops = {"shop": OPEN, "guarded": PAGE_CHALLENGES, "other": OPEN}
    with world(migrated_url, shops, now=datetime.now(UTC), quotas=TIGHT) as here:
        address = here.new_address()
        times = 45
        addresses = [address if one_address else here.new_address() for _ in range(times)]
        spend(here, kind, [phone() if kind == "blocked_phone" else number for _ in range(times)], addresses)
        assert here.rings(number) == []
        # The number, the site, the address and its network: all have their room.
        here.accepted(number)
        assert len(here.rings(number)) == 1
        strangers = [phone() for _ in range(3)]
        here.accepted(strangers[0], address, site="other")
        here.accepted(strangers[1], address)
        here.accepted(strangers[2])
        for stranger in strangers:
            assert len(here.rings(stranger)) == 1, here.listed(status="held")[:1]


@pytest.mark.parametrize("kind", KINDS)
def test_three_of_them_do_not_lock_the_owner_of_the_number_out(migrated_url: str, kind: str) -> None:
    number = phone()
    shops = {"shop": OPEN, "guarded": PAGE_CHALLENGES}
    with world(migrated_url, shops, now=datetime.now(UTC), quotas=TIGHT) as here:
        victim = phone() if kind == "blocked_phone" else number
        for _ in range(3):
            assert suspicious(here, kind, victim, here.new_address()) == 202
        for _ in range(3):
            here.accepted(number)
            here.later(minutes=5)
        assert len(here.rings(number)) == 3


def test_held_requests_of_one_reason_look_like_accepted_ones(migrated_url: str) -> None:
    with world(migrated_url) as here:
        honest, held = here.ask(phone()), here.ask(phone(), website="x")
        for answer in (honest, held):
            assert answer.status_code == 202
        same = {name: value for name, value in honest.json().items() if name != "id"}
        assert {name: value for name, value in held.json().items() if name != "id"} == same
        here.later(minutes=5)
        assert here.shown(held.json()["id"])["status"] == "queued"
        stored = here.stored(held.json()["id"])
        assert (stored["status"], stored["reason"], stored["held_for"]) == ("held", "honeypot", "honeypot")


def test_the_budget_of_suspicious_requests_is_theirs_alone(migrated_url: str) -> None:
    quotas = TIGHT | {"per_site": "1000/day", "held_per_site": "20/day"}
    with world(migrated_url, {"shop": OPEN, "other": OPEN}, quotas=quotas) as here:
        for _ in range(20):
            here.accepted(phone(), website="x")
        assert_refused(here.ask(phone(), website="x"), "quota_site")
        here.accepted(phone(), website="x", site="other")
        honest = phone()
        here.accepted(honest)
        assert len(here.rings(honest)) == 1
        burst = here.new_address()
        for _ in range(8):
            here.accepted(phone(), burst)
        reasons = sorted({one["reason"] for one in here.listed(status="held", site="shop")})
        assert reasons == ["burst", "honeypot"]
        here.later(days=1)
        here.accepted(phone(), website="x")


def test_the_budget_of_bursts_is_full_without_harm_to_the_others(migrated_url: str) -> None:
    quotas = TIGHT | {"per_site": "1000/day", "held_per_site": "10/day", "per_address_phones": "1/minute;1000/day"}
    with world(migrated_url, {"shop": OPEN}, quotas=quotas) as here:
        for _ in range(5):
            address = here.new_address()
            for _ in range(3):
                here.accepted(phone(), address)
        address = here.new_address()
        here.accepted(phone(), address)
        assert_refused(here.ask(phone(), address), "quota_site")
        here.accepted(phone(), website="x")
        honest = phone()
        here.accepted(honest)
        assert len(here.rings(honest)) == 1


@pytest.mark.parametrize(
    "addresses",
    [
        pytest.param(["203.0.113.7"] * 12, id="one address"),
        pytest.param([f"2001:db8:1:1::{host:x}" for host in range(1, 13)], id="one /64"),
        pytest.param(["203.0.113.7", "::ffff:203.0.113.7"] * 6, id="two notations"),
    ],
)
@pytest.mark.parametrize("budget", ["20/day", "50/day"])
def test_one_address_uses_at_most_a_tenth_of_the_suspicious_budget(
    migrated_url: str, addresses: list[str], budget: str
) -> None:
    tenth = int(budget.split("/")[0]) // 10
    with world(migrated_url, quotas={"held_per_site": budget}) as here:
        answers = [here.ask(phone(), address, website="x").status_code for address in addresses]
        assert answers == [202] * tenth + [429] * (len(addresses) - tenth)
        here.accepted(phone(), website="x")
        honest = phone()
        here.accepted(honest, addresses[0])
        assert len(here.rings(honest)) == 1


def test_equal_wishes_held_for_one_reason_are_one_held_callback(migrated_url: str) -> None:
    number = phone()
    shop = Shop(settings={"departments": {"sales": {"name": "Sales"}}})
    with world(migrated_url, {"shop": shop, "other": OPEN}) as here:
        ids = [here.accepted(number, website="x") for _ in range(5)]
        assert len(set(ids)) == 5
        assert [one["id"] for one in here.listed(status="held")] == ids[:1]
        different = [
            here.accepted(number, website="x", department="sales"),
            here.accepted(number, website="x", site="other"),
            here.accepted(number, website="x", planned_time=(here.clock.now + HOUR).isoformat()),
            here.accepted(phone(), website="x"),
        ]
        assert {one["id"] for one in here.listed(status="held")} == {ids[0], *different}
        here.later(minutes=10)
        assert {here.shown(one)["status"] for one in [*ids, *different]} == {"queued"}
        assert here.act(ids[0], "release").status_code == 200
        assert len(here.rings(number)) == 1
        here.later(minutes=1)
        assert {here.shown(one)["status"] for one in ids} == {"placed"}


def test_services_are_never_held(migrated_url: str) -> None:
    blocked = phone()
    with world(migrated_url, quotas={"held_per_site": "1/day", "per_site": "3/hour"}) as here:
        number = phone()
        assert here.order(number, website="x").status_code == 202
        assert len(here.rings(number)) == 1
        here.block(f"+{blocked}")
        assert_refused(here.order(blocked), "blocked", 403)
        for _ in range(2):
            assert here.order(phone()).status_code == 202
        assert_refused(here.order(phone()), "quota_site")
        assert here.listed(status="held") == []


def test_a_blocked_address_is_refused_and_a_blocked_phone_is_not_told(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url) as here:
        here.block("203.0.113.0/24")
        here.block(f"+{number}")
        for host in (1, 7, 255):
            assert_refused(here.ask(phone(), f"203.0.113.{host}"), "blocked", 403)
        callback_id = here.accepted(number)
        here.later(minutes=1)
        assert here.shown(callback_id)["status"] == "queued"
        assert here.stored(callback_id)["reason"] == "blocked_phone"
        assert here.rings(number) == []


@pytest.mark.parametrize("after", [timedelta(0), HOUR, 6 * DAY])
def test_a_cancelled_held_callback_gives_its_budget_to_nobody(migrated_url: str, after: timedelta) -> None:
    """Otherwise an operator who tidies up would be flooded again within the same day."""
    with world(migrated_url, quotas={"held_per_site": "2/7days"}) as here:
        ids = [here.accepted(phone(), website="x") for _ in range(2)]
        for callback_id in ids:
            assert here.act(callback_id, "cancel").status_code == 200
        here.at(here.clock.now + after)
        assert_refused(here.ask(phone(), website="x"), "quota_site")
        here.accepted(phone())


def test_repeated_requests_count_for_their_sender(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, quotas={"per_site": "5/day", "per_address": "10/hour"}) as here:
        address = here.new_address()
        answers = [here.ask(number, address).status_code for _ in range(108)]
        assert answers == [202] * 10 + [429] * 98
        assert len(here.listed()) == 10
        assert len(here.rings(number)) == 1
        # Another number is refused in the same way, so the refusal tells nothing about the first.
        assert_refused(here.ask(phone(), address), "quota_client")


def test_merged_requests_leave_the_budget_of_the_site_alone(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, quotas={"per_site": "6/day"}) as here:
        for _ in range(40):
            here.accepted(number)
        assert len(here.rings(number)) == 1
        others = [phone() for _ in range(5)]
        for other in others:
            here.accepted(other)
            assert len(here.rings(other)) == 1
        assert here.listed(status="held") == []


def test_duplicates_are_deleted_after_seven_days(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url) as here:
        original = here.accepted(number)
        duplicates = [here.accepted(number) for _ in range(20)]
        held = [here.accepted(number, website="x") for _ in range(3)]
        assert {one["id"] for one in here.listed(status="duplicate")} == {*duplicates, *held[1:]}
        here.later(days=6, hours=23)
        assert here.shown(duplicates[0])["status"] == "placed"
        here.later(hours=2)
        until(lambda: not here.listed(status="duplicate"))
        assert here.stored(original)["status"] == "placed"
        assert {one["id"] for one in here.listed()} == {original, held[0]}
        for gone in duplicates:
            assert here.http.get(f"/v1/callbacks/{gone}").status_code == 404


def test_refused_requests_are_not_stored(migrated_url: str) -> None:
    with world(migrated_url, quotas={"held_per_site": "3/day", "per_phone": "1/hour"}) as here:
        number = phone()
        for _ in range(3):
            here.accepted(phone(), website="x")
        here.accepted(number)
        here.later(minutes=5)
        for _ in range(50):
            assert_refused(here.ask(phone(), website="x"), "quota_site")
            assert_refused(here.ask(number), "quota_phone")
        assert len(here.listed()) == 4


def test_the_honest_are_heard_while_both_budgets_are_full(migrated_url: str) -> None:
    quotas = {"held_per_site": "4/day", "per_address_phones": "1/minute;1000/day"}
    with world(migrated_url, quotas=quotas) as here:
        for _ in range(4):
            here.accepted(phone(), website="x")
        address = here.new_address()
        for _ in range(5):
            here.accepted(phone(), address)
        assert_refused(here.ask(phone(), website="x"), "quota_site")
        assert_refused(here.ask(phone(), address), "quota_site")
        numbers = [phone() for _ in range(10)]
        for number in numbers:
            here.accepted(number)
            assert len(here.rings(number)) == 1


def test_the_page_of_a_guarded_site_still_needs_its_challenge(migrated_url: str) -> None:
    with world(migrated_url, {"shop": PAGE_CHALLENGES}, now=datetime.now(UTC)) as here:
        answer = here.http.post(
            "/v1/callbacks", json={"site": "shop", "client_phone": phone(), "website": "x"}, headers={"origin": ORIGIN}
        )
        assert_refused(answer, "challenge_missing", 403)
