"""Addresses: what the settings accept, the parts that use it accept too."""

import pytest
from sqlalchemy import make_url

from app.chaser import ChaserClient
from app.settings.urls import parse_base_address, parse_database_address, parse_web_address

ACCEPTED = [
    "https://api.chaser.ru/v1/",
    "http://127.0.0.1:8001/v1",
    "http://[::1]:8001/v1/",
    "http://chaser_simulator:8001",
    "https://xn--80ak6aa92e.example/",
]


@pytest.mark.parametrize("address", ACCEPTED)
async def test_an_address_of_chaser_that_is_accepted_can_be_used(address: str) -> None:
    async with ChaserClient("4711", "k7", api_url=parse_base_address(address)):
        assert parse_web_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "api.chaser.ru",
        "ftp://api.chaser.ru/",
        "https://",
        "https:///v1/",
        "https://user@api.chaser.ru/",
        "https://api.chaser.ru:0/",
        "https://api.chaser.ru:port/",
        "https://api.chaser.ru:/v1/?",
        "https://api chaser/",
        "https://чейзер.example/",
        "https://[::1/",
        "javascript:alert(1)",
        "https://a..b/",
        None,
        5,
    ],
)
def test_what_is_no_web_address_is_refused(address: object) -> None:
    with pytest.raises(ValueError, match="write "):
        parse_base_address(address)


DATABASES = {
    "sqlite:///data/callbacks.db": "sqlite:///data/callbacks.db",
    "sqlite:////var/lib/callbacks.db": "sqlite:////var/lib/callbacks.db",
    "postgresql://callback:p%40ss@db:5432/callback": "postgresql+psycopg://callback:p%40ss@db:5432/callback",
    "postgres://db/callback?sslmode=require": "postgresql+psycopg://db/callback?sslmode=require",
    "postgresql+psycopg://postgres:@/postgres?host=/run/pg": "postgresql+psycopg://postgres:@/postgres?host=/run/pg",
}


@pytest.mark.parametrize("address", DATABASES)
def test_a_database_address_names_the_driver_we_have(address: str) -> None:
    read = parse_database_address(address)
    assert read == DATABASES[address]
    assert make_url(read).drivername in {"sqlite", "postgresql+psycopg"}


@pytest.mark.parametrize(
    "address",
    [
        "callbacks.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///data/",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite:///x.db?mode=ro",
        "sqlite://host/x.db",
        "sqlite+aiosqlite:///x.db",
        "postgresql+asyncpg://db/callback",
        "postgresql://db:port/callback",
        "mysql://db/callback",
        None,
    ],
)
def test_another_database_is_refused(address: object) -> None:
    with pytest.raises(ValueError, match="write sqlite:///path"):
        parse_database_address(address)
