"""Settings in a TOML file. The environment overrides single settings of the file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.settings.conftest import NEEDED, errors, load

File = Callable[[str], dict[str, str]]
TOML = """
trusted_proxies = ["10.0.0.1", "fd00::/8"]
retry_schedule = ["1s", 2]

[chaser]
client_id = 4711
private_key = "k7"

[sites.shop]
site_id = 12345
origins = ["https://shop.example"]
theme = { color = "#fff", position = "left" }
working_hours = { mon-fri = "09:00-18:00" }
phone = 74951234567
"""


def test_a_file_alone_is_enough(file: File) -> None:
    settings = load(file(TOML))
    assert settings.chaser.client_id == "4711"
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.1/32", "fd00::/8"]
    assert [wait.total_seconds() for wait in settings.retry_schedule] == [1, 2]
    assert list(settings.sites["shop"].working_hours or ()) == ["mon", "tue", "wed", "thu", "fri"]
    assert settings.sites["shop"].phone == "74951234567"


def test_the_environment_overrides_single_settings(file: File) -> None:
    settings = load(file(TOML) | {"SITES__SHOP__THEME__COLOR": "#000", "SITES__SHOP__ORIGINS": "https://b.example"})
    site = settings.sites["shop"]
    assert (site.theme.color, site.theme.position) == ("#000000", "left")
    assert site.origins == ("https://b.example",)
    assert site.site_id == 12345


def test_callback_toml_in_the_working_directory_is_read_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "callback.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    assert load({}).chaser.client_id == "4711"
    assert load({"CHASER__CLIENT_ID": "4712"}).chaser.client_id == "4712"


IN_FILE = [
    ("sites.Shop.site_id = 1", "SITES__SHOP", "sites.Shop", "write this name in lower case: a-z, 0-9, single - or _"),
    ("sites.a__b.site_id = 1", "SITES__A__B", "sites.a__b", "write this name in lower case: a-z, 0-9, single - or _"),
    ("server.port = 80", "SERVER", "server", "unknown name: correct it or remove it"),
    ("DATABASE_URL = 'x'", "DATABASE_URL", "DATABASE_URL", "unknown name: write names in lower case in the file"),
    ("timeout = 5", "TIMEOUT", "timeout", "unknown name, did you mean CHASER__TIMEOUT?"),
    ("chaser.timeout = true", "CHASER__TIMEOUT", "chaser.timeout", "write a duration such as 10s"),
    ("database_url = []", "DATABASE_URL", "database_url", "write sqlite:///path/to/callbacks.db"),
    ("sites.shop.challenge = 2", "SITES__SHOP__CHALLENGE", "sites.shop.challenge", "write on or off"),
    (
        "sites.shop.message_on_ring = 1.5",
        "SITES__SHOP__MESSAGE_ON_RING",
        "sites.shop.message_on_ring",
        "write text, in",
    ),
    ("sites.shop.timezone = ['x']", "SITES__SHOP__TIMEZONE", "sites.shop.timezone", "write a name of the IANA"),
    ("sites.shop.phone = 7495123456.7", "SITES__SHOP__PHONE", "sites.shop.phone", "write a telephone number"),
    ("sites.shop.consent = 5", "SITES__SHOP__CONSENT", "sites.shop.consent", "is a group of settings and not a value"),
    ("quotas.per_client = 'x'", "QUOTAS__PER_CLIENT", "quotas.per_client", "unknown name, did you mean QUOTAS__PER_A"),
    (
        "sites.shop.quotas.per_client_phones = 'x'",
        "SITES__SHOP__QUOTAS__PER_CLIENT_PHONES",
        "sites.shop.quotas.per_client_phones",
        "unknown name, did you mean SITES__SHOP__QUOTAS__PER_ADDRESS_PHONES?",
    ),
    ('"a\\nb" = 1', "A B", "a b", "unknown name: correct it or remove it"),
]


@pytest.mark.parametrize(("line", "name", "name_in_file", "message"), IN_FILE)
def test_an_error_in_the_file_is_reported_with_both_names(
    line: str, name: str, name_in_file: str, message: str, file: File
) -> None:
    environ = file(line)
    # Some cases create a second site, whose missing settings are reported as well.
    lines = [line for line in errors(NEEDED | environ) if "missing" not in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"{name}: {message}")
    assert lines[0].endswith(f"({name_in_file} in {environ['CONFIG_FILE']})")


def test_empty_values_in_the_file_count_as_not_set(file: File) -> None:
    assert load(NEEDED | file("secret_key = ''\nsites.shop.phone = ' '\nsites.other.theme.color = ''")) == load(NEEDED)


def test_invalid_toml_is_reported_with_its_position_and_with_misspelt_variables(file: File) -> None:
    environ = file("[chaser]\nclient_id =\n")
    assert errors({"CHASER_CLIENT_ID": "4711"} | environ) == [
        "CHASER_CLIENT_ID: unknown name, did you mean CHASER__CLIENT_ID?",
        f"CONFIG_FILE: {environ['CONFIG_FILE']} is not valid TOML: Invalid value (at line 2, column 12): correct it",
    ]


def test_a_file_in_another_encoding_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "callback.toml"
    path.write_bytes("# настройки".encode("cp1251"))
    assert errors({"CONFIG_FILE": str(path)}) == [f"CONFIG_FILE: {path} is not in UTF-8: save it as UTF-8"]


def test_a_file_with_too_many_levels_is_reported(file: File) -> None:
    environ = file("x = " + "[" * 100_000)
    assert errors(environ) == [
        f"CONFIG_FILE: {environ['CONFIG_FILE']} is nested too deeply: write tables as [sites.shop]"
    ]


def test_a_missing_file_and_a_folder_are_reported(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.toml", tmp_path):
        assert errors(NEEDED | {"CONFIG_FILE": str(path)}) == [
            f"CONFIG_FILE: there is no file {path}: correct the path or unset it"
        ]


def test_a_path_the_system_refuses_is_reported() -> None:
    lines = errors(NEEDED | {"CONFIG_FILE": "x" * 5000})
    assert len(lines) == 1
    assert lines[0].startswith("CONFIG_FILE: ")
    assert lines[0].endswith("can't be read (File name too long): correct the path or the file's rights")
