"""The simulator as a server, in a thread and as a process."""

import asyncio
import re
import signal
import socket
import subprocess
import sys

import httpx2
import pytest

from app.simulator.running import running, running_in_thread
from tests.simulator.support import Client

PROCESS = [
    sys.executable,
    "-W",
    "error",
    "-c",
    "from app.simulator.simulator_command import run_simulator;"
    "run_simulator(port=0, control_port=0, ring_seconds=60.0)",
]


async def test_it_stops_even_while_clients_hang_drip_and_watch(caplog):
    before = asyncio.all_tasks()
    async with running() as simulator:
        client = Client(simulator, timeout=30.0)
        await client.fault("hang_after")
        await client.fault("drip", seconds=5)
        await client.fault("slow", seconds=60)
        waiting = [asyncio.ensure_future(client.post()) for _ in range(3)]
        idle = httpx2.AsyncClient()
        await idle.get(f"{simulator.url}/_control/state")
        watching = httpx2.AsyncClient(timeout=30.0)
        stream = await watching.send(watching.build_request("GET", f"{simulator.control_url}events"), stream=True)
        async with asyncio.timeout(5):
            while len(await client.requests()) < 3:
                await asyncio.sleep(0.01)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    kinds = sorted(type(outcome).__name__ for outcome in outcomes)
    assert kinds[1:] == ["RemoteProtocolError", "Response"]
    assert kinds[0] in ("ReadError", "RemoteProtocolError")
    await stream.aclose()
    await watching.aclose()
    await idle.aclose()
    assert asyncio.all_tasks() - before == set()
    # No request was cancelled: uvicorn would log it as an error.
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


async def test_a_taken_port_is_an_error_and_leaves_no_socket_open():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            async with running(port=port):
                pass
        with pytest.raises(OSError, match="in use"):
            async with running(control_port=port):
                pass


async def test_two_simulators_share_no_state():
    async with running() as one, running() as two:
        await Client(one).post()
        assert len(await Client(one).calls()) == 1
        assert await Client(two).calls() == []


def test_it_runs_in_a_thread():
    with running_in_thread() as simulator:
        assert httpx2.get(f"{simulator.api_url}websites").status_code == 401
        assert httpx2.get(f"{simulator.control_url}state").status_code == 200
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{simulator.api_url}websites")


def test_a_taken_port_is_an_error_in_a_thread_too():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"), running_in_thread(port=taken.getsockname()[1]):
            pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_a_process_it_ends_without_an_error_on_a_signal(number):
    with subprocess.Popen(PROCESS, stderr=subprocess.PIPE, text=True) as process:
        try:
            output = process.stderr.readline() + process.stderr.readline()
            url = re.search(r"http://127\.0\.0\.1:\d+", output)[0]
            watching = httpx2.Client(timeout=30.0)
            stream = watching.send(watching.build_request("GET", f"{url}/_control/events"), stream=True)
            assert stream.status_code == 200
            process.send_signal(number)
            assert process.wait(timeout=10) == 0
            stream.close()
            watching.close()
            assert process.stderr.read() == ""
        finally:
            process.kill()
