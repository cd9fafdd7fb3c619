"""METRICS_PORT: metrics on a port of their own, without an API key."""

import signal
import socket
from pathlib import Path

import httpx2
import pytest

from tests.ports import free_port
from tests.routes.refusal import assert_protected, assert_refused
from tests.running import client, process, values
from tests.scraping import read, scrape


def test_it_serves_the_same_metrics_as_the_public_port_and_nothing_else(tmp_path: Path) -> None:
    port = free_port()
    with (
        process(tmp_path, values(tmp_path) | {"metrics_port": port}) as here,
        client(f"http://127.0.0.1:{port}") as own,
    ):
        here.accepted()
        answer = own.get("/metrics")
        assert_protected(answer)
        series = 'chaser_callback_accepted_total{result="new",site="shop"}'
        assert read(answer)[series] == scrape(here)[series] == 1
        assert_refused(own.get("/v1/callbacks"), 404, "not_found")
        assert_refused(here.http.get("/metrics"), 401, "missing_api_key")
        assert here.terminate() in (0, -signal.SIGTERM), "a scraper that stays connected does not block the shutdown"
        assert "Traceback" not in here.output()


def test_it_listens_only_on_metrics_host(tmp_path: Path) -> None:
    port = free_port()
    chosen = values(tmp_path) | {"metrics_port": port, "metrics_host": "127.0.0.3"}
    with process(tmp_path, chosen) as here, client(f"http://127.0.0.3:{port}") as own:
        assert own.get("/metrics").status_code == 200
        with client(f"http://127.0.0.1:{port}") as elsewhere, pytest.raises(httpx2.ConnectError):
            elsewhere.get("/metrics")
        assert here.http.get("/livez").status_code == 200


def test_a_port_in_use_is_reported_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as in_use:
        port = in_use.getsockname()[1]
        chosen = values(tmp_path) | {"metrics_port": port}
        with pytest.raises(AssertionError) as failed, process(tmp_path, chosen):
            pass
    output_lines = str(failed.value).splitlines()
    assert f"METRICS_PORT: can't listen on 127.0.0.1:{port}: Address already in use: choose another" in output_lines
    assert not any("Traceback" in line for line in output_lines)
