"""PostgreSQL is suspended: connections stay open, but nothing answers. Requests get a 503 and can be retried."""

from pathlib import Path

import httpx2

from tests.faults.doses import note
from tests.faults.load import new_request, send_once, send_with_retries
from tests.faults.servers import ForkServer, RestartedPostgreSQL, replicas
from tests.faults.world import world

UNKNOWN_ID = "01a2079c-bf03-7387-8e96-29518fb19998"


def test_a_suspended_database_causes_a_503_and_the_retried_request_is_one_callback(
    tmp_path: Path, fork_server: ForkServer, own_postgresql: RestartedPostgreSQL
) -> None:
    with (
        world(tmp_path, own_postgresql.new_database()) as here,
        replicas(fork_server, tmp_path, here.settings) as (replica,),
    ):
        request, before = new_request(), new_request()
        send_with_retries(before, [replica.url])
        with own_postgresql.suspended():
            refused = send_once(request, replica.url, timeout=25)
            read = httpx2.get(f"{replica.url}/v1/callbacks/{UNKNOWN_ID}", timeout=25)
        assert (refused.status, refused.code) == (503, "storage_unavailable")
        assert read.status_code == 503
        assert int(read.headers["retry-after"]) > 0
        send_with_retries(request, [replica.url])
        here.wait_until_finished()
        verdict = here.verdict([before.record, request.record])
        assert not replica.has_exited()
    note("PostgreSQL is suspended", f"{verdict}; refused after {refused.seconds:.1f} s")
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests == len(here.stored()) == 2
