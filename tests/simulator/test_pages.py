"""The pages as the simulator serves them."""

import re

import pytest

from app.simulator.options import Options
from app.simulator.pages import shop_policy
from app.simulator.running import running
from tests.simulator.support import http

ASSETS = ["page.css", "card.css", "page.js", "card.js", "controls.js", "format.js", "icon.svg"]


@pytest.fixture
async def get(client):
    async with http() as session:
        yield lambda path: session.get(f"{client.simulator.url}{path}")


async def test_the_page_loads_only_its_own_files(get):
    page = await get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"script-src ([^;]*)", policy) == ["'self'"]
    assert not re.search(r"\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)|<style", page.text)


@pytest.mark.parametrize("path", ["/", "/shop"])
async def test_a_page_loads_nothing_but_the_widget_from_another_host(get, path):
    text = (await get(path)).text
    loaded = re.findall(r"(?:src|href)=\"(https?:[^\"]*)\"", text)
    assert loaded == ([] if path == "/" else ["http://127.0.0.1:8000/widget.js"])


@pytest.mark.parametrize("name", ASSETS)
async def test_each_asset_is_served_with_its_content_type(get, name):
    answer = await get(f"/assets/{name}")
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    assert answer.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])


@pytest.mark.parametrize("path", ["/assets/../app.py", "/assets/app.py", "/assets/page.html", "/favicon.ico"])
async def test_no_other_file_is_served(get, path):
    assert (await get(path)).status_code == 404


async def test_the_shop_embeds_the_widget_of_the_configured_service():
    async with running(Options(service_url="https://callback.example:8443/")) as simulator, http() as session:
        shop = await session.get(f"{simulator.url}/shop")
    tag = '<script async src="https://callback.example:8443/widget.js" data-site="shop"></script>'
    assert shop.text.count(tag) == 1
    assert "data-chaser-callback" in shop.text
    assert "tel:" not in shop.text
    assert "{service}" not in shop.text


async def test_the_service_url_is_escaped_in_the_shop():
    async with running(Options(service_url='http://x"><b>')) as simulator, http() as session:
        shop = await session.get(f"{simulator.url}/shop")
    assert '"><b>' not in shop.text


def test_the_shops_policy_allows_the_service_and_no_other_origin():
    policy = shop_policy("https://callback.example/base/")
    assert "script-src 'self' https://callback.example;" in policy
    assert "unsafe" not in policy
    assert "*" not in policy


async def test_the_page_lists_behaviour_that_the_vendor_does_not_document(get):
    text = (await get("/")).text
    for subject in ("statistics", "rate limit", "idempotency", "time zone", "weekends", "out of range"):
        assert subject in text
