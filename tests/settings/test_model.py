"""Every setting refuses invalid values with one line: the name of the setting, the error and the fix."""

import pytest

from app.settings.suggestions import generic_names
from tests.settings.conftest import NEEDED, errors, load
from tests.settings.naming import generic

SHOP = "SITES__SHOP__"
DIGEST = "1" * 64
KEY = {"API_KEYS__CRM__SHA256": DIGEST, "API_KEYS__CRM__SCOPES": "callbacks:write"}
ADDRESS = "write an address such as https://api.chaser.ru/v1/, without user name, ? and #"
PAGE = "write an address such as https://shop.example/privacy, in ASCII and without user name"
PHONE = "write a telephone number with its country code, such as +74951234567"
LIMIT = "write limits such as 3/hour or 3/hour;5/day"
LINE = "write text of 1 to 500 characters"
DURATION = "write a duration such as 10s, 2m, 2h or 90d"
DATABASE = "write sqlite:///path/to/callbacks.db or postgresql://user:password@host/database"
PLACEHOLDER = "still a placeholder: put in the real value"
GROUP = "is a group of settings and not a value: set them one by one, as"
SWITCH = "write on or off"
ICON = 'write the d="…" of an SVG path drawn for a box of 24 by 24, such as M12 2L2 22h20z'
OPENING = "write opening hours such as 09:00-18:00"

INVALID_VALUES = [
    ("CHASER__CLIENT_ID", "change-me", PLACEHOLDER),
    ("CHASER__CLIENT_ID", "<client id>", PLACEHOLDER),
    ("CHASER__CLIENT_ID", "client_id", PLACEHOLDER),
    ("CHASER__CLIENT_ID", "4711\udcff", "not in UTF-8: write it again in a UTF-8 terminal or editor"),
    ("CHASER__PRIVATE_KEY", "your-private-key", PLACEHOLDER),
    ("CHASER__PRIVATE_KEY", "xxxxxxxx", PLACEHOLDER),
    ("CHASER__PRIVATE_KEY", "ваш ключ", PLACEHOLDER),
    ("CHASER__PRIVATE_KEY", "two\nlines", "write one line, without control characters"),
    ("CHASER__PRIVATE_KEY", "", "missing: set it to the private key of your account at Chaser"),
    ("CHASER__PRIVATE_KEY", " ", "missing: set it to the private key of your account at Chaser"),
    ("CHASER__API_URL", "api.chaser.ru/v1", ADDRESS),
    ("CHASER__API_URL", "https://user:word@api.chaser.ru/", ADDRESS),
    ("CHASER__API_URL", "https://api.chaser.ru/?v=1", ADDRESS),
    ("CHASER__API_URL", "https://api.chaser.ru:99999/", ADDRESS),
    ("CHASER__TIMEOUT", "soon", DURATION),
    ("CHASER__TIMEOUT", "-1s", DURATION),
    ("CHASER__TIMEOUT", "0", "write a duration from 1s to 2m"),
    ("CHASER__TIMEOUT", "3m", "write a duration from 1s to 2m"),
    ("DATABASE_URL", "/data/callbacks.db", DATABASE),
    ("DATABASE_URL", "mysql://host/database", DATABASE),
    ("DATABASE_URL", "sqlite:///:memory:", DATABASE),
    ("DATABASE_URL", "sqlite://", DATABASE),
    ("DATABASE_URL", "postgresql://user:word@host:port/database", DATABASE),
    ("DATABASE_URL", "postgresql://callback:<password>@db/callback", PLACEHOLDER),
    ("SECRET_KEY", "too short", "write at least 32 random characters, as `openssl rand -hex 32` prints them"),
    ("SECRET_KEY", "change-me", PLACEHOLDER),
    ("CONTROL_SOCKET", "<path>", PLACEHOLDER),
    ("DOCS", "public", SWITCH),
    ("METRICS_PORT", "0", "write a whole number from 1 to 65535"),
    ("METRICS_HOST", "localhost", "write an IP address such as 127.0.0.1, or 0.0.0.0 for all"),
    ("TRUSTED_PROXIES", "*", "entry 1: '*' would let anybody forge an address; list the addresses of your proxies"),
    (
        "TRUSTED_PROXIES",
        "10.0.0.1, proxy",
        "entry 2: 'proxy' is neither an address nor a network; write one like 10.0.0.5 or 10.0.0.0/24",
    ),
    ("LIMITS__FLOOD", "many", LIMIT),
    ("LIMITS__FLOOD", "0/minute", "a limit must allow from 1 to 1000000"),
    ("QUOTAS__PER_PHONE", "3", LIMIT),
    ("QUOTAS__PER_PHONE", "3/fortnight", LIMIT),
    ("QUOTAS__PER_ADDRESS", "3/2 years", "the window of a limit must not be longer than a year"),
    ("QUOTAS__PER_ADDRESS_PHONES", "9999999/hour", "a limit must allow from 1 to 1000000"),
    ("QUOTAS__PER_SITE", "{", LIMIT),
    ("QUOTAS__HELD_PER_SITE", "200", LIMIT),
    ("RETRY_SCHEDULE", "5s,soon", f"entry 2: {DURATION}"),
    (
        "RETRY_SCHEDULE",
        '["5s"',
        "not valid JSON (Expecting ',' delimiter: character 6): correct it, or write a,b",
    ),
    ("CALLS_PER_SECOND", "0.5", "write a whole number from 1 to 1000"),
    ("CALLS_AT_ONCE", "201", "write a whole number from 1 to 200"),
    ("GIVE_UP_AFTER", "8d", "write a duration from 1s to 7d"),
    ("ON_UNKNOWN", "resend", "write 'resend_once' or 'hold'"),
    ("RESEND_AFTER", "0s", "write a duration from 1s to 1d"),
    ("DUPLICATE_WINDOW", "1 week", DURATION),
    ("DUPLICATE_WINDOW", "0s", "write a duration from 1s to 10m"),
    ("DUPLICATE_WINDOW", "11m", "write a duration from 1s to 10m"),
    ("KEEP_PERSONAL_DATA", "1h", "write a duration from 1d to 3650d"),
    (
        "API_KEYS__CRM__SHA256",
        "ccb_the-key-itself",
        "write the 64 hexadecimal digits that `chaser-callback api-key new` prints",
    ),
    (
        "API_KEYS__CRM__SHA256",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "this is the SHA-256 of an empty key: make a key with `chaser-callback api-key new`",
    ),
    (
        "API_KEYS__CRM__SCOPES",
        "callbacks:write,all",
        "entry 2: write 'callbacks:write', 'callbacks:read' or 'chaser:read'",
    ),
    (
        "API_KEYS__CRM__SITES",
        "Shop",
        "entry 1: write this name in lower case: a-z, 0-9, single - or _ between them, at most 64 characters",
    ),
    (SHOP + "SITE_ID", "change-me", PLACEHOLDER),
    (SHOP + "SITE_ID", "0", "write a whole number from 1"),
    (SHOP + "SITE_ID", "12.0", "write a whole number from 1"),
    (SHOP + "SITE_ID", "9" * 30, "write a whole number from 1"),
    (SHOP + "ORIGINS", "change-me", f"entry 1: {PLACEHOLDER}"),
    (
        SHOP + "ORIGINS",
        '["https://a',
        "not valid JSON (Unterminated string starting at: character 2): correct it, or write a,b",
    ),
    (
        SHOP + "ORIGINS",
        "https://a.example,b.example",
        "entry 2: 'b.example' is no origin; write one with its scheme, like https://shop.example",
    ),
    (
        SHOP + "ORIGINS",
        "*",
        "entry 1: '*' would let any page phone people; list the site's origins, like https://shop.example",
    ),
    (
        SHOP + "ORIGINS",
        ",",
        "missing: set it to the origins of the pages with the widget, such as https://shop.example",
    ),
    (SHOP + "MANAGER_PHONE", "8 (495) 123-45-67", PHONE),
    (SHOP + "MESSAGE_ON_RING", "x" * 501, LINE),
    (SHOP + "NWT_ACTION", "create_lead", "write 'create_leed' or 'always_call'"),
    (SHOP + "CALL_STACK_START_HOUR", "25", "write a whole number from 0 to 24"),
    (SHOP + "CALL_STACK_INTERVAL", "-1", "write a whole number from 0 to 60"),
    (SHOP + "REGIONS", "RU,RUS", "entry 2: write two-letter country codes, such as RU or RU,KZ"),
    (SHOP + "TIMEZONE", "Moscow", "write a name of the IANA time zone database, such as Europe/Moscow"),
    (
        SHOP + "WORKING_HOURS",
        "09:00-18:00",
        "write working hours such as mon-fri 09:00-18:00, sat 10:00-16:00",
    ),
    (SHOP + "WORKING_HOURS", "mon-fri 9-18", f"mon-fri: {OPENING}"),
    (SHOP + "WORKING_HOURS", '{"mon": 9}', f"mon: {OPENING}"),
    (SHOP + "DEPARTMENTS__SALES__NAME", "change-me", PLACEHOLDER),
    (SHOP + "DEPARTMENTS__SALES__MANAGER_PHONE", "112", PHONE),
    (SHOP + "DEPARTMENTS__SALES__MESSAGE_ON_RING", "x" * 501, LINE),
    (SHOP + "CONSENT__URL", "shop.example/privacy", PAGE),
    (SHOP + "CONSENT__VERSION", "v" * 65, "write text of 1 to 64 characters"),
    (SHOP + "CONSENT__TEXT__RU", "x" * 501, LINE),
    (SHOP + "TEXTS__RU__TITLE", "x" * 501, LINE),
    (SHOP + "TEXTS__RU", "Заказать звонок", f"{GROUP} SITES__SHOP__TEXTS__RU__BUTTON"),
    (SHOP + "THEME", "dark", f"{GROUP} SITES__SHOP__THEME__COLOR"),
    (SHOP + "THEME__COLOR", "blue", "write a colour as # and three or six hexadecimal digits, such as #2563eb"),
    (SHOP + "THEME__SCHEME", "night", "write 'auto', 'light' or 'dark'"),
    (SHOP + "THEME__BUTTON", "hidden", SWITCH),
    (SHOP + "THEME__ICON", "phone.svg", ICON),
    (SHOP + "THEME__ICON", "M164.9 24.6l-7.7 18.6", f"begins outside the box of 24 by 24: {ICON}"),
    (SHOP + "THEME__POSITION", "top", "write 'left' or 'right'"),
    (SHOP + "THEME__OFFSET_X", "20px", "write a whole number from 0 to 200"),
    (SHOP + "THEME__OFFSET_Y", "201", "write a whole number from 0 to 200"),
    (SHOP + "THEME__CORNER", "29", "write a whole number from 0 to 28"),
    (SHOP + "TRIGGERS", "on", f"{GROUP} SITES__SHOP__TRIGGERS__EXIT_INTENT"),
    (SHOP + "TRIGGERS__EXIT_INTENT", "sometimes", SWITCH),
    (SHOP + "TRIGGERS__SECONDS", "0", "write a whole number from 1 to 3600"),
    (SHOP + "TRIGGERS__SCROLL", "50%", "write a whole number from 1 to 100"),
    (SHOP + "ANALYTICS__DATA_LAYER", "dataLayer", SWITCH),
    (SHOP + "ANALYTICS__GTAG", "G-ABC123", SWITCH),
    (SHOP + "ANALYTICS__METRIKA", "ym12345678", "write a whole number from 1"),
    (SHOP + "PHONE", "+7 495 CALL-NOW", PHONE),
    (SHOP + "ON_UNKNOWN", "drop", "write 'resend_once' or 'hold'"),
    (SHOP + "CHALLENGE", "altcha", SWITCH),
    (SHOP + "QUOTAS__PER_ADDRESS", "x", LIMIT),
    (SHOP + "QUOTAS__PER_ADDRESS_PHONES", "x", LIMIT),
    (SHOP + "QUOTAS__PER_SITE", "x", LIMIT),
    (SHOP + "QUOTAS__HELD_PER_SITE", "x", LIMIT),
    (SHOP + "CLIENT_ID", "change-me", PLACEHOLDER),
    (SHOP + "PRIVATE_KEY", "password", PLACEHOLDER),
]
# Other settings that a setting requires. Without them they would be reported as well.
REQUIRED = {
    "API_KEYS__CRM__": KEY,
    SHOP + "CALL_STACK_": {SHOP + "NWT_ACTION": "always_call", SHOP + "WORKING_HOURS": "mon-sun 00:00-24:00"},
    SHOP + "DEPARTMENTS__": {SHOP + "DEPARTMENTS__SALES__NAME": "Sales"},
    SHOP + "CONSENT__": {SHOP + "CONSENT__URL": "https://shop.example/privacy", SHOP + "CONSENT__VERSION": "1"},
    SHOP + "CLIENT_ID": {SHOP + "PRIVATE_KEY": "another-key"},
    SHOP + "PRIVATE_KEY": {SHOP + "CLIENT_ID": "4712"},
}


@pytest.mark.parametrize(("name", "value", "message"), INVALID_VALUES)
def test_an_invalid_value_is_reported_in_one_line(name: str, value: str, message: str) -> None:
    required = next((others for start, others in REQUIRED.items() if name.startswith(start)), {})
    assert errors(NEEDED | required | {name: value}) == [f"{name}: {message}"]


def test_the_table_of_invalid_values_has_every_setting() -> None:
    assert {generic(name) for name, _, _ in INVALID_VALUES} >= set(generic_names())


@pytest.mark.parametrize(
    ("challenge", "origins", "expected"),
    [
        ({}, "https://shop.example", True),
        ({}, "https://shop.example,http://localhost:8001", True),
        ({}, "https://shop.example,http://shop.example", False),
        ({"SITES__SHOP__CHALLENGE": "off"}, "https://shop.example", False),
        ({"SITES__SHOP__CHALLENGE": "on"}, "https://shop.example", True),
    ],
)
def test_the_challenge_is_required_if_browsers_can_solve_it(
    challenge: dict[str, str], origins: str, expected: bool
) -> None:
    settings = load(NEEDED | {"SITES__SHOP__ORIGINS": origins} | challenge)
    assert settings.sites["shop"].asks_for_challenge is expected


def test_a_site_has_its_own_settings_and_the_general_ones_for_the_rest() -> None:
    own = {
        "CLIENT_ID": "4712",
        "PRIVATE_KEY": "another-key-of-chaser",
        "ON_UNKNOWN": "hold",
        "QUOTAS__PER_SITE": "7/hour",
    }
    other = {"SITES__OTHER__SITE_ID": "2", "SITES__OTHER__ORIGINS": "https://other.example"}
    settings = load(NEEDED | other | {f"{SHOP}{name}": value for name, value in own.items()})
    assert [settings.account_of(name) for name in ("shop", "other")] == ["4712", "4711"]
    assert [settings.on_unknown_of(name) for name in ("shop", "other")] == ["hold", "resend_once"]
    assert settings.quotas_of("other") == settings.quotas
    assert [str(limit) for limit in settings.quotas_of("shop").per_site] == ["7 per 1 hour"]
    assert settings.quotas_of("shop").per_address == settings.quotas.per_address
