"""The order of the rules: a visitor beyond their own limits learns nothing about any number."""

from typing import Any

import pytest

from app.admission.decide import decide
from app.admission.snapshot import StoredKey
from app.outbox.callback import AcceptResult, Status
from tests.admission.deciding import (
    API_KEY,
    HOUR,
    KEY,
    MINUTE,
    NOW,
    SECOND,
    StoredRing,
    config,
    request,
    result,
    snapshot,
    stored,
)
from tests.outbox.factories import callback

ORDER = {
    "replay": "replayed",
    "challenge": "challenge_used",
    "blocked address": "blocked",
    "the address's longest limit": "quota_client",
    "blocked phone": "held for blocked_phone",
    "automated": "held for honeypot",
    "burst": "held for burst",
    "the site's budget": "held for site_budget",
    "duplicate": "duplicate",
    "the phone's cap": "quota_phone",
}
NAMES = list(ORDER)
NONCE = "0" * 32


def decided(those: list[str], **changes: Any) -> str:
    """Decide a request to which exactly those rules apply."""
    earlier = []
    if "the address's longest limit" in those:
        earlier += [callback(client_phone=f"7916000000{n}", created_at=NOW - 30 * MINUTE) for n in range(3)]
    if "burst" in those:
        earlier += [callback(client_phone="79160000009", created_at=NOW - SECOND)]
    rings = [StoredRing(NOW - MINUTE)] if "the site's budget" in those else []
    rang = [stored(Status.PLACED)] if "duplicate" in those else []
    rang += [stored(Status.PLACED, site="blog")] if "the phone's cap" in those else []
    found = snapshot(*rang, requests=earlier, rings=rings)
    if "replay" in those:
        first = AcceptResult("first", "queued", NOW - HOUR, None)
        found.keys[KEY.scope, KEY.key] = [StoredKey(KEY.fingerprint, first, "shop", None)]
    if "challenge" in those:
        found.nonces[NONCE] = "another request"
    mine = request(
        key=KEY,
        nonce=NONCE,
        address_blocked="blocked address" in those,
        phone_blocked="blocked phone" in those,
        held_for="honeypot" if "automated" in those else None,
        **changes,
    )
    rules = config({"per_address": "1/minute;3/hour", "per_site": "1/hour"}, per_phone="1/hour")
    return result(decide(mine, found, rules))


@pytest.mark.parametrize("position", range(len(NAMES)), ids=NAMES)
def test_of_all_rules_that_apply_the_first_decides(position: int) -> None:
    assert decided(NAMES[position:]) == ORDER[NAMES[position]]


@pytest.mark.parametrize("name", NAMES)
def test_each_rule_decides_alone(name: str) -> None:
    assert decided([name]) == ORDER[name]


def test_a_request_that_no_rule_stops_is_queued() -> None:
    assert decided([]) == "queued"


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ("replay", "replayed"),
        ("blocked address", "blocked"),
        ("blocked phone", "blocked"),
        ("the site's budget", "quota_site"),
        ("duplicate", "duplicate"),
        ("the phone's cap", "quota_phone"),
    ],
)
def test_with_an_api_key_the_order_is_the_same_and_nothing_is_held(position: str, expected: str) -> None:
    of_visitors = ("the address's longest limit", "burst", "automated", "challenge")
    those = [name for name in NAMES[NAMES.index(position) :] if name not in of_visitors]
    assert decided(those, api_key=API_KEY) == expected
