"""Settings that are valid one by one, but not together."""

import pytest

from tests.settings.conftest import NEEDED, errors, load

DIGEST = "1" * 64
KEY = {"API_KEYS__CRM__SHA256": DIGEST, "API_KEYS__CRM__SCOPES": "callbacks:read"}
TWO_SITES = {
    "SITES__A__SITE_ID": "1",
    "SITES__A__ORIGINS": "https://a.example",
    "SITES__B__SITE_ID": "2",
    "SITES__B__ORIGINS": "https://b.example",
}
CONFLICTS = [
    (
        {"RETRY_SCHEDULE": "3h", "GIVE_UP_AFTER": "2h"},
        "RETRY_SCHEDULE: the first wait is not shorter than GIVE_UP_AFTER: make it shorter",
    ),
    (
        {"RESEND_AFTER": "2h"},
        "RESEND_AFTER: not shorter than GIVE_UP_AFTER, so nothing would be sent again: make it shorter",
    ),
    (
        {"SITES__SHOP__QUOTAS__PER_ADDRESS_PHONES": "5/minute;60/8 days"},
        "SITES__SHOP__QUOTAS__PER_ADDRESS_PHONES: its window is longer than 7 days, after which merged requests are "
        "deleted: shorten it",
    ),
    (
        {"QUOTAS__PER_PHONE": "3/hour;9/month", "KEEP_PERSONAL_DATA": "7d"},
        "QUOTAS__PER_PHONE: its window is longer than KEEP_PERSONAL_DATA, after which requests can't be counted: "
        "shorten it",
    ),
    (
        {"SITES__SHOP__QUOTAS__PER_SITE": "900/year"},
        "SITES__SHOP__QUOTAS__PER_SITE: its window is longer than KEEP_PERSONAL_DATA, after which requests "
        "can't be counted: shorten it",
    ),
    (
        {"SITES__SHOP__CALL_STACK_START_HOUR": "9", "SITES__SHOP__CALL_STACK_INTERVAL": "5"},
        "SITES__SHOP__NWT_ACTION: set it to always_call, or leave out CALL_STACK_START_HOUR and CALL_STACK_INTERVAL",
    ),
    (
        {"SITES__SHOP__NWT_ACTION": "always_call"},
        "SITES__SHOP__WORKING_HOURS: missing although NWT_ACTION is always_call: set those that are set at Chaser; "
        "always open is mon-sun 00:00-24:00",
    ),
    (
        {"SITES__SHOP__CLIENT_ID": "4712"},
        "SITES__SHOP__PRIVATE_KEY: missing although CLIENT_ID is set: set both, or neither to use CHASER__...",
    ),
    (
        {"SITES__SHOP__PRIVATE_KEY": "k8"},
        "SITES__SHOP__CLIENT_ID: missing although PRIVATE_KEY is set: set both, or neither to use CHASER__...",
    ),
    (
        {"SITES__SHOP__CLIENT_ID": "4711", "SITES__SHOP__PRIVATE_KEY": "k8"},
        "SITES__SHOP__PRIVATE_KEY: differs from CHASER__PRIVATE_KEY although CLIENT_ID is the same: "
        "correct one of them",
    ),
    (
        TWO_SITES
        | {f"SITES__{site}__CLIENT_ID": "4712" for site in "AB"}
        | {f"SITES__{site}__PRIVATE_KEY": f"key-{site}" for site in "AB"},
        "SITES__B__PRIVATE_KEY: differs from SITES__A__PRIVATE_KEY although CLIENT_ID is the same: correct one of them",
    ),
    (
        KEY | {"API_KEYS__CRM__SITES": "shop,shoop"},
        "API_KEYS__CRM__SITES: there is no site shoop: write names of sites (shop)",
    ),
    (
        KEY | {"API_KEYS__ERP__SHA256": DIGEST, "API_KEYS__ERP__SCOPES": "callbacks:read"},
        "API_KEYS__ERP__SHA256: the same key as API_KEYS__CRM: make another key for one of them",
    ),
    (
        {"SITES__SHOP__WORKING_HOURS": "mon-fri 09:00-18:00, fri 10:00-12:00"},
        "SITES__SHOP__WORKING_HOURS: fri: fri is named twice: name each day once",
    ),
    (
        {"SITES__SHOP__CHALLENGE": "on", "SITES__SHOP__ORIGINS": "http://shop.example"},
        "SITES__SHOP__CHALLENGE: browsers can't solve it on pages without HTTPS (http://shop.example): "
        "use https, or set off",
    ),
]


@pytest.mark.parametrize(("environ", "line"), CONFLICTS)
def test_a_conflict_is_reported_in_one_line(environ: dict[str, str], line: str) -> None:
    assert errors(NEEDED | environ) == [line]


def test_all_conflicts_are_reported_at_once() -> None:
    environ = {"RETRY_SCHEDULE": "1d", "QUOTAS__PER_SITE": "9/year", "QUOTAS__PER_ADDRESS": "9/year"} | KEY
    lines = errors(NEEDED | environ | {"API_KEYS__CRM__SITES": "a,b"})
    assert [line.partition(":")[0] for line in lines] == [
        "RETRY_SCHEDULE",
        "QUOTAS__PER_ADDRESS",
        "QUOTAS__PER_SITE",
        "API_KEYS__CRM__SITES",
        "API_KEYS__CRM__SITES",
    ]


def test_sites_may_share_an_account() -> None:
    shared = {f"SITES__{site}__CLIENT_ID": "4712" for site in "AB"} | {
        f"SITES__{site}__PRIVATE_KEY": "k8" for site in "AB"
    }
    accounts = dict(load(NEEDED | TWO_SITES | shared).accounts())
    assert list(accounts) == ["4711", "4712"]
    assert accounts["4712"].get_secret_value() == "k8"


def test_on_unknown_hold_needs_no_time_for_a_resend() -> None:
    assert load(NEEDED | {"GIVE_UP_AFTER": "30s", "ON_UNKNOWN": "hold"}).on_unknown == "hold"
    assert errors(NEEDED | {"GIVE_UP_AFTER": "30s", "ON_UNKNOWN": "hold", "SITES__SHOP__ON_UNKNOWN": "resend_once"})
