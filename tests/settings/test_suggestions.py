"""Unknown names are refused with a suggestion. Variables of other programs are ignored."""

import pytest

from tests.settings.conftest import NEEDED, errors, load

UNKNOWN_NAMES = {
    "CHASER_CLIENT_ID": ", did you mean CHASER__CLIENT_ID?",
    "CHASER__CLIENTID": ", did you mean CHASER__CLIENT_ID?",
    "CHASER___CLIENT_ID": ", did you mean CHASER__CLIENT_ID?",
    "CHASR__CLIENT_ID": ", did you mean CHASER__CLIENT_ID?",
    "CHASER__URL": ": remove it, or write one of CLIENT_ID, PRIVATE_KEY, API_URL, TIMEOUT",
    "DATABSE_URL": ", did you mean DATABASE_URL?",
    "DATABASEURL": ", did you mean DATABASE_URL?",
    "DATABASE_URL__X": ", did you mean DATABASE_URL?",
    "TRUSTED_PROXY": ", did you mean TRUSTED_PROXIES?",
    "QUOTA__PER_PHONE": ", did you mean QUOTAS__PER_PHONE?",
    "LIMIT__FLOOD": ", did you mean LIMITS__FLOOD?",
    "LIMITS_FLOOD": ", did you mean LIMITS__FLOOD?",
    "sites_shop_phone": ", did you mean SITES__SHOP__PHONE?",
    "SITES_SHOP__SITE_ID": ", did you mean SITES__SHOP__SITE_ID?",
    "SITES__SHOP_SITE_ID": ", did you mean SITES__SHOP__SITE_ID?",
    "SITES___SHOP__PHONE": ", did you mean SITES__SHOP__PHONE?",
    "SITES__": ": correct it or unset it",
    "SITE__SHOP__ORIGINS": ", did you mean SITES__SHOP__ORIGINS?",
    "SITES_SHOP_DEPARTMENTS_SALES_MANAGER_PHONE": ", did you mean SITES__SHOP__DEPARTMENTS__SALES__MANAGER_PHONE?",
    "SITES_SHOP_TEXTS_RU_TITLE": ", did you mean SITES__SHOP__TEXTS__RU__TITLE?",
    "SITES__SHOP__COLOUR": ", did you mean SITES__SHOP__THEME__COLOR?",
    "SITES__SHOP__THEME__COLOUR": ", did you mean SITES__SHOP__THEME__COLOR?",
    "SITES__SHOP__OFFSET_X": ", did you mean SITES__SHOP__THEME__OFFSET_X?",
    "SITES__SHOP__EXIT_INTENT": ", did you mean SITES__SHOP__TRIGGERS__EXIT_INTENT?",
    "SITES__SHOP__ANALYTICS__DATALAYER": ", did you mean SITES__SHOP__ANALYTICS__DATA_LAYER?",
    "SITES__SHOP__ANALYTICS__YANDEX": ": remove it, or write one of DATA_LAYER, GTAG, METRIKA",
    "SITES__SHOP__THEME_COLOR": ", did you mean SITES__SHOP__THEME__COLOR?",
    "SITES__SHOP__TEXTS__RU__DELIVERED_TITLE": ", did you mean SITES__SHOP__TEXTS__RU__PLACED_TITLE?",
    "SITES__SHOP__PLACED_TITLE": ": correct it or remove it",
    "SITES__SHOP__TEXTS__RU__TITEL": ", did you mean SITES__SHOP__TEXTS__RU__TITLE?",
    "SITES__SHOP__QUOTAS__PER_PHONE": ", did you mean QUOTAS__PER_PHONE?",
    "SITES__SHOP__DATABASE_URL": ", did you mean DATABASE_URL?",
    "QUOTAS__PER_CLIENT": ", did you mean QUOTAS__PER_ADDRESS?",
    "QUOTAS__PER_CLIENT_PHONES": ", did you mean QUOTAS__PER_ADDRESS_PHONES?",
    "QUOTAS_PER_CLIENT": ", did you mean QUOTAS__PER_ADDRESS?",
    "SITES__SHOP__QUOTAS__PER_CLIENT": ", did you mean SITES__SHOP__QUOTAS__PER_ADDRESS?",
    "SITES__SHOP__QUOTAS__PER_CLIENT_PHONES": ", did you mean SITES__SHOP__QUOTAS__PER_ADDRESS_PHONES?",
    "SITES__SHOP__PER_CLIENT": ", did you mean SITES__SHOP__QUOTAS__PER_ADDRESS?",
    "SITES__SHOP__XYZ": ": correct it or remove it",
    "API_KEY__CRM__SHA256": ", did you mean API_KEYS__CRM__SHA256?",
}


@pytest.mark.parametrize("name", UNKNOWN_NAMES)
def test_an_unknown_name_is_reported_with_a_suggestion(name: str) -> None:
    assert errors(NEEDED | {name: "1"}) == [f"{name}: unknown name{UNKNOWN_NAMES[name]}"]


def test_an_unknown_language_is_reported_with_the_known_ones() -> None:
    assert errors(NEEDED | {"SITES__SHOP__TEXTS__DE__TITLE": "Rückruf"}) == [
        "SITES__SHOP__TEXTS__DE: unknown name: remove it, or write one of RU, EN"
    ]


FOREIGN = [
    "PATH",
    "HOME",
    "PORT",
    "HOST",
    "API_KEY",
    "API_URL",
    "CLIENT_ID",
    "SITE_ID",
    "SITE_NAME",
    "SITE_URL",
    "SECRET_NAME",
    "SECRET_KEY_BASE",
    "LOG_LEVEL",
    "DATABASE_HOST",
    "DATABASE_PASSWORD",
    "TEST_DATABASE_URL",
    "POSTGRES_URL",
    "CACHE__URL",
    "CHASER_VERSION",
    "SITES_ENABLED",
    "GIVE_UP",
    "KUBERNETES_PORT_443_TCP_PROTO",
    "CHASER_PORT",
    "CHASER_SERVICE_HOST",
    "CHASER_PORT_80_TCP_ADDR",
    "CHASER_CALLBACK_PORT",
    "CHASER_CALLBACK_SERVICE_PORT_HTTP",
    "SITES_PORT",
    "SITES_SERVICE_HOST",
    "DATABASE_URL_PORT_80_TCP",
    "LIMITS_SERVICE_PORT",
]


def test_variables_of_other_programs_and_service_links_are_ignored() -> None:
    assert load(NEEDED | dict.fromkeys(FOREIGN, "tcp://10.0.0.7:80")) == load(NEEDED)


def test_a_name_similar_to_a_variable_that_is_set_is_ignored() -> None:
    similar = {"DATABASE_URI": "sqlite:///other.db"}
    assert errors(NEEDED | similar) == ["DATABASE_URI: unknown name, did you mean DATABASE_URL?"]
    assert load(NEEDED | similar | {"DATABASE_URL": "sqlite:///ours.db"}).database_url == "sqlite:///ours.db"


@pytest.mark.parametrize("value", ["false", "1", ""])
def test_variables_that_slowapi_reads_itself_are_refused(value: str) -> None:
    message = "slowapi's own settings are not used here: unset it and use LIMITS__FLOOD"
    assert errors(NEEDED | {"RATELIMIT_ENABLED": value}) == [f"RATELIMIT_ENABLED: {message}"]
