"""Error lines: all errors at once, none twice, and no secret in any."""

import re

from hypothesis import given
from hypothesis import strategies as st

from app.settings import SettingsError
from app.settings.suggestions import generic_names
from tests.settings.conftest import NEEDED, PRIVATE_KEY, errors, load


def test_without_settings_every_missing_one_is_reported() -> None:
    assert errors({}) == [
        "CHASER__CLIENT_ID: missing: set it to the client_id of your account at Chaser",
        "CHASER__PRIVATE_KEY: missing: set it to the private key of your account at Chaser",
        "SITES: no site is set: set SITES__SHOP__SITE_ID and SITES__SHOP__ORIGINS, with a name of yours "
        "in place of SHOP",
    ]


def test_missing_settings_of_a_site_are_reported() -> None:
    assert errors(NEEDED | {"SITES__OTHER__PHONE": "+74951234567"}) == [
        "SITES__OTHER__SITE_ID: missing: set it to the number of the site at Chaser",
        "SITES__OTHER__ORIGINS: missing: set it to the origins of the pages with the widget, such as https://shop.example",
    ]


def test_a_setting_missing_because_it_is_misspelt_is_reported_once() -> None:
    misspelt = {
        "CHASER_CLIENT_ID": "4711",
        "CHASER__PRIVATEKEY": PRIVATE_KEY,
        "SITES_SHOP__SITE_ID": "1",
        "SITES__SHOP__ORIGIN": "https://shop.example",
    }
    assert errors(misspelt) == [
        "CHASER_CLIENT_ID: unknown name, did you mean CHASER__CLIENT_ID?",
        "SITES_SHOP__SITE_ID: unknown name, did you mean SITES__SHOP__SITE_ID?",
        "CHASER__PRIVATEKEY: unknown name, did you mean CHASER__PRIVATE_KEY?",
        "SITES__SHOP__ORIGIN: unknown name, did you mean SITES__SHOP__ORIGINS?",
    ]


def test_all_errors_of_all_sites_are_reported_at_once() -> None:
    environ = NEEDED | {
        "SITES__A__SITE_ID": "x",
        "SITES__A__ORIGINS": "https://a.example",
        "SITES__B__SITE_ID": "1",
        "SITES__B__ORIGINS": "https://b.example",
        "SITES__B__CLIENT_ID": "4712",
        "SITES__B__CALL_STACK_INTERVAL": "5",
        "GIVE_UP_AFTER": "never",
    }
    assert sorted(errors(environ)) == [
        "GIVE_UP_AFTER: write a duration such as 10s, 2m, 2h or 90d",
        "SITES__A__SITE_ID: write a whole number from 1",
        "SITES__B__NWT_ACTION: set it to always_call, or leave out CALL_STACK_INTERVAL",
        "SITES__B__PRIVATE_KEY: missing although CLIENT_ID is set: set both, or neither to use CHASER__...",
    ]


def test_no_error_line_and_no_repr_of_the_settings_shows_a_secret() -> None:
    secrets = {
        "CHASER__PRIVATE_KEY": PRIVATE_KEY,
        "SITES__SHOP__CLIENT_ID": "4712",
        "SITES__SHOP__PRIVATE_KEY": f"{PRIVATE_KEY}-2",
        "SECRET_KEY": f"{PRIVATE_KEY}-of-32-characters",
        "DATABASE_URL": f"postgresql://callback:{PRIVATE_KEY}@db/callback",
    }
    settings = load(NEEDED | secrets)
    assert PRIVATE_KEY not in f"{settings!r} {settings}"
    invalid = dict.fromkeys(secrets, f"{PRIVATE_KEY}\n" + "x" * 2000) | {"CHASER": f'{{"private_key": "{PRIVATE_KEY}"'}
    lines = errors(NEEDED | invalid)
    assert len(lines) >= 4
    assert PRIVATE_KEY not in "\n".join(lines)


VALUES = st.one_of(
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20),
    st.sampled_from(
        ["{}", "[]", "[[", '{"a": {"b": []}}', "null", "true", "NaN", "1e999", "-1", "a,b", "\udcff", '"', "''"]
    ),
)


@given(
    st.dictionaries(st.sampled_from(generic_names()), VALUES, min_size=1, max_size=6), st.sampled_from(["SHOP", "B"])
)
def test_any_values_are_loaded_or_reported(values: dict[str, str], name: str) -> None:
    environ = NEEDED | {setting.replace("*", name): value for setting, value in values.items()}
    for line in _lines(environ):
        assert re.fullmatch(r"[A-Z0-9_*]+: \S.*", line)
        assert line.isprintable()
        assert PRIVATE_KEY not in line


def _lines(environ: dict[str, str]) -> list[str]:
    try:
        load(environ)
    except SettingsError as error:
        return error.lines
    return []
