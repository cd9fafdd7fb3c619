"""PostgreSQL stands still: its connections stay open and nothing answers. Whoever asks is told, and may ask again."""

from pathlib import Path

import httpx2

from tests.faults.doses import note
from tests.faults.load import ask_once, insist, new_wish
from tests.faults.servers import Nursery, RestartedPostgreSQL, replicas
from tests.faults.world import world

NOBODY = "01a2079c-bf03-7387-8e96-29518fb19998"


def test_a_database_that_stands_still_is_told_and_the_same_request_later_is_one_callback(
    tmp_path: Path, nursery: Nursery, own_postgresql: RestartedPostgreSQL
) -> None:
    with (
        world(tmp_path, own_postgresql.new_database()) as here,
        replicas(nursery, tmp_path, here.settings) as (replica,),
    ):
        asking, before = new_wish(), new_wish()
        insist(before, [replica.url])
        with own_postgresql.hanging():
            refused = ask_once(asking, replica.url, timeout=25)
            unseen = httpx2.get(f"{replica.url}/v1/callbacks/{NOBODY}", timeout=25)
        assert (refused.status, refused.code) in {(503, "storage_unavailable"), (503, "storage_unavailable")}
        assert unseen.status_code == 503
        assert int(unseen.headers["retry-after"]) > 0
        insist(asking, [replica.url])
        here.settle()
        verdict = here.verdict([before.wish, asking.wish])
        assert not replica.died()
    note("PostgreSQL stands still", f"{verdict}; told after {refused.seconds:.1f} s")
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests == len(here.stored()) == 2
