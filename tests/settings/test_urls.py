"""URLs: those that the settings accept can be used by the HTTP client and by SQLAlchemy."""

import pytest
from sqlalchemy import make_url

from app.chaser import ChaserClient
from app.settings.urls import parse_base_url, parse_database_url, parse_web_url

VALID = [
    "https://api.chaser.ru/v1/",
    "http://127.0.0.1:8001/v1",
    "http://[::1]:8001/v1/",
    "http://chaser_simulator:8001",
    "https://xn--80ak6aa92e.example/",
]


@pytest.mark.parametrize("url", VALID)
async def test_a_valid_url_of_chaser_can_be_used(url: str) -> None:
    async with ChaserClient("4711", "k7", api_url=parse_base_url(url)):
        assert parse_web_url(url) == url


@pytest.mark.parametrize(
    "url",
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
def test_an_invalid_web_url_is_refused(url: object) -> None:
    with pytest.raises(ValueError, match="write "):
        parse_base_url(url)


DATABASES = {
    "sqlite:///data/callbacks.db": "sqlite:///data/callbacks.db",
    "sqlite:////var/lib/callbacks.db": "sqlite:////var/lib/callbacks.db",
    "postgresql://callback:p%40ss@db:5432/callback": "postgresql+psycopg://callback:p%40ss@db:5432/callback",
    "postgres://db/callback?sslmode=require": "postgresql+psycopg://db/callback?sslmode=require",
    "postgresql+psycopg://postgres:@/postgres?host=/run/pg": "postgresql+psycopg://postgres:@/postgres?host=/run/pg",
}


@pytest.mark.parametrize("url", DATABASES)
def test_a_database_url_gets_the_installed_driver(url: str) -> None:
    parsed = parse_database_url(url)
    assert parsed == DATABASES[url]
    assert make_url(parsed).drivername in {"sqlite", "postgresql+psycopg"}


@pytest.mark.parametrize(
    "url",
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
def test_an_invalid_database_url_is_refused(url: object) -> None:
    with pytest.raises(ValueError, match="write sqlite:///path"):
        parse_database_url(url)
