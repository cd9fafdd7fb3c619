"""Settings in environment variables: plain values, lists, and tables as JSON."""

import json
from datetime import time, timedelta

import pytest

from tests.settings.conftest import NEEDED, PRIVATE_KEY, errors, load

SHOP = "SITES__SHOP__"


def test_four_variables_are_enough() -> None:
    settings = load(NEEDED)
    assert settings.chaser.client_id == "4711"
    assert settings.chaser.private_key.get_secret_value() == PRIVATE_KEY
    assert settings.sites["shop"].site_id == 12345
    assert settings.sites["shop"].origins == ("https://shop.example",)


def test_all_settings_of_a_site_can_be_variables() -> None:
    values = {
        "MANAGER_PHONE": "+7 (495) 123-45-67",
        "NWT_ACTION": "always_call",
        "CALL_STACK_START_HOUR": "10",
        "REGIONS": "ru, kz",
        "WORKING_HOURS": "mon-fri 09:00-18:00, sun 10:00-24:00",
        "DEPARTMENTS__SALES__NAME": "Отдел продаж",
        "CONSENT__URL": "https://shop.example/privacy?v=1#text",
        "CONSENT__VERSION": "2026",
        "TEXTS__RU__TITLE": "Перезвонить вам?",
        "THEME__POSITION": "left",
        "QUOTAS__PER_SITE": "50/day",
        "CLIENT_ID": "4712",
        "PRIVATE_KEY": "{not-json",
    }
    site = load(NEEDED | {SHOP + name: value for name, value in values.items()}).sites["shop"]
    assert site.manager_phone == "74951234567"
    assert site.call_stack_start_hour == 10
    assert site.regions == ("RU", "KZ")
    assert site.working_hours is not None
    assert site.working_hours["fri"] == (time(9), time(18))
    assert site.working_hours["sun"] == (time(10), time.max)
    assert "sat" not in site.working_hours
    assert site.departments["sales"].name == "Отдел продаж"
    assert site.consent is not None
    assert site.consent.version == "2026"
    assert site.texts == {"ru": {"title": "Перезвонить вам?"}}
    assert site.theme.position == "left"
    assert site.private_key is not None
    assert site.private_key.get_secret_value() == "{not-json"


@pytest.mark.parametrize(
    "written",
    [
        "https://a.example,https://b.example",
        " https://A.example , https://b.example:443/, ",
        '["https://a.example", "https://b.example"]',
        "'https://a.example,https://b.example'",
    ],
)
def test_a_list_has_commas_or_is_json(written: str) -> None:
    assert load(NEEDED | {SHOP + "ORIGINS": written}).sites["shop"].origins == (
        "https://a.example",
        "https://b.example",
    )


def test_a_table_can_be_one_variable_in_json_and_longer_names_override_it() -> None:
    site = {"site_id": 7, "origins": ["https://a.example"], "theme": {"color": "#fff", "position": "left"}}
    environ = NEEDED | {"SITES": json.dumps({"b": site}), "SITES__B__THEME__COLOR": "#000", "CHASER": '{"timeout": 5}'}
    settings = load(environ)
    assert list(settings.sites) == ["b", "shop"]
    assert settings.sites["b"].theme.color == "#000000"
    assert settings.sites["b"].theme.position == "left"
    assert settings.chaser.timeout == timedelta(seconds=5)


def test_a_table_in_invalid_json_is_reported() -> None:
    assert errors({"CHASER": "{4711", SHOP + "SITE_ID": "1", SHOP + "ORIGINS": "https://a.example"}) == [
        "CHASER: is a group of settings and not a value: set them one by one, as CHASER__CLIENT_ID"
    ]
    assert errors(NEEDED | {"SITES__SHOP": "12345"}) == [
        "SITES__SHOP: can't be set together with SITES__SHOP__ORIGINS: unset one of them"
    ]


def test_a_setting_in_two_spellings_is_refused_unless_both_have_the_same_value() -> None:
    assert errors(NEEDED | {"chaser__client_id": "4712"}) == [
        "chaser__client_id: set twice, also as CHASER__CLIENT_ID: unset one of them"
    ]
    assert load(NEEDED | {"chaser__client_id": "4711"}) == load(NEEDED)


def test_empty_variables_count_as_not_set() -> None:
    empty = {
        "CHASER__TIMEOUT": "",
        "SITES__OTHER__SITE_ID": " ",
        "SECRET_KEY": '""',
        "CHASER__UNKNOWN": "",
        "CONFIG_FILE": "",
    }
    assert load(NEEDED | empty) == load(NEEDED)


def test_white_space_and_quotes_around_a_value_are_removed() -> None:
    settings = load(NEEDED | {"CHASER__CLIENT_ID": ' "4711"\r', SHOP + "MESSAGE_ON_RING": '«Магазин» "Ромашка"'})
    assert settings.chaser.client_id == "4711"
    assert settings.sites["shop"].message_on_ring == '«Магазин» "Ромашка"'
