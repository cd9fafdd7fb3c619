"""`chaser-callback callbacks list` and `export` on more callbacks than a page holds."""

import csv
import json
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from app.cli.export import COLUMNS
from app.intake.build_callback import new_id
from app.outbox.database import open_database
from app.outbox.migrate import migrate
from app.outbox.schema import attempts, callbacks
from tests.cli.conftest import ROOT, Terminal
from tests.running import process, values

MANY, FAILED = 5000, 1000
FIRST = datetime(2026, 10, 1, 9, tzinfo=UTC)
PAGE = "https://shop.example/?" + "page=" * 400
HOSTILE = '=HYPERLINK("https://evil.example")'
PEAK = """
import atexit, resource, sys
atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr))
from app.cli.entrypoint import main
main()
"""


def rows() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Give callbacks a minute apart, the oldest first, and the attempt of each."""
    for number in range(MANY):
        at = FIRST + timedelta(minutes=number)
        callback_id = new_id(at)
        failed = number < FAILED
        callback = {
            "id": callback_id,
            "site": "shop",
            "account": "4711",
            "chaser_site_id": 12345,
            "status": "failed" if failed else "placed",
            "reason": "refused_by_chaser" if failed else None,
            "client_phone": f"7916{number:07}",
            "phone_certain": True,
            "active_page": PAGE,
            "referrer": HOSTILE if number == 0 else "https://search.example/",
            "message_on_ring": "\x1b[31m[red]\x9btab\there",
            "created_at": at,
            "updated_at": at,
            "give_up_at": at + timedelta(hours=2),
            "call_expected_at": at,
        }
        attempt = {
            "callback_id": callback_id,
            "number": 1,
            "started_at": at,
            "outcome": "refused" if failed else "placed",
            "http_status": 404 if failed else 200,
            "duration_ms": 250,
            "answer": "x" * 2048,
        }
        yield callback, attempt


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """At a terminal beside a service that holds five pages of callbacks."""
    folder = tmp_path_factory.mktemp("full")
    chosen = values(folder, keep_personal_data="3650d")
    database = open_database(chosen["database_url"])
    migrate(database.writing)
    made, tried = zip(*rows(), strict=True)
    with database.writing.begin() as connection:
        connection.execute(insert(callbacks), list(made))
        connection.execute(insert(attempts), list(tried))
    database.close()
    with process(folder, chosen) as running:
        yield Terminal(chosen, running.url)


def export_with_peak(full: Terminal, *words: str) -> int:
    """Export in a process of its own, and give the most memory it took, in bytes."""
    command = [sys.executable, "-c", PEAK, "callbacks", "export", *words]
    ended = subprocess.run(
        command, cwd=ROOT, env=full.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return int(ended.stderr.splitlines()[-1]) * 1024


def test_the_export_holds_every_callback_once_and_takes_no_more_memory_for_five_pages_than_for_one(
    full: Terminal, tmp_path: Path
) -> None:
    little = export_with_peak(full, str(tmp_path / "failed.jsonl"), "--status", "failed")
    much = export_with_peak(full, str(tmp_path / "all.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["client_phone"] for line in lines] == [f"7916{number:07}" for number in reversed(range(MANY))]
    assert lines[-1]["attempts"][0]["http_status"] == 404
    assert (tmp_path / "all.jsonl").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.jsonl", "failed.jsonl"]
    more = (tmp_path / "all.jsonl").stat().st_size - (tmp_path / "failed.jsonl").stat().st_size
    assert more > 16_000_000
    assert much - little < more / 2


def test_csv_keeps_strangers_from_writing_formulas(full: Terminal) -> None:
    ended = full.run("callbacks", "export", "--to", "2026-10-01T12:01+03:00")
    assert ended.stderr == "1 callbacks written to standard output\n"
    titles, row = list(csv.reader(ended.stdout.splitlines()))
    assert tuple(titles) == COLUMNS
    cells = dict(zip(titles, row, strict=True))
    assert cells["referrer"] == f"'{HOSTILE}"
    assert (cells["attempts"], cells["last_outcome"], cells["last_http_status"]) == ("1", "refused", "404")


def test_an_export_that_breaks_off_leaves_no_file_that_looks_whole(full: Terminal, tmp_path: Path) -> None:
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    file = tmp_path / "all.csv"
    ended = full.run("callbacks", "export", str(file), before=no_room)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == f"FILE: can't write {file}: File too large: choose another place\n"
    assert [path.name for path in tmp_path.iterdir()] == ["all.csv.part"]


def test_progress_is_shown_at_a_terminal(full: Terminal, tmp_path: Path) -> None:
    code, seen = full.see("callbacks", "export", str(tmp_path / "all.csv"), TERM="xterm-256color")
    assert code == 0
    assert "000 callbacks" in seen
    assert "back to 2026-10-0" in seen


@pytest.mark.parametrize("columns", [80, 120])
def test_a_list_at_a_terminal_fits_and_shows_whole_ids(full: Terminal, columns: int) -> None:
    code, seen = full.see("callbacks", "list", "--status", "failed", "--limit", "3", columns=columns, TZ="UTC")
    lines = seen.splitlines()
    assert code == 0
    assert max(map(len, lines)) <= columns
    assert len(lines) == 5
    callback_id, day, time, status, number, site = lines[2].split()[:6]
    assert (len(callback_id), status, number, site) == (36, "failed", "79160000999", "shop")
    assert (day, time) == ("10-02" if columns == 80 else "2026-10-02", "01:39")
    assert ("refused_by_chaser" in lines[2]) is (columns == 120)


def test_a_list_behind_a_pipe_is_for_programs(full: Terminal) -> None:
    ended = full.run("callbacks", "list", "--phone", "8 (916) 000-00-00")
    (line,) = ended.stdout.splitlines()
    assert line.split("\t")[1:] == [
        "2026-10-01T09:00:00Z",
        "failed",
        "79160000000",
        "shop",
        "refused_by_chaser",
        "1",
        "refused",
    ]
    shown = full.run("callbacks", "show", line.split("\t")[0]).stdout
    assert "message_on_ring\t [31m[red] tab here\n" in shown  # nothing a terminal obeys


def test_a_day_counts_whole_and_more_than_a_page_is_listed(full: Terminal) -> None:
    day = full.run("callbacks", "list", "--from", "2026-10-02", "--to", "2026-10-02", "--limit", "9999", TZ="UTC")
    times = [line.split("\t")[1] for line in day.stdout.splitlines()]
    assert len(times) == 24 * 60
    assert (times[0], times[-1]) == ("2026-10-02T23:59:00Z", "2026-10-02T00:00:00Z")


def test_wrong_filters_are_told_in_one_line(full: Terminal) -> None:
    for words in (["--status", "lost"], ["--from", "yesterday"]):
        ended = full.run("callbacks", "list", *words)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
        assert ended.stderr.startswith(words[0])


class Busy(BaseHTTPRequestHandler):
    """Has no time at first."""

    asked = 0

    def do_GET(self) -> None:
        Busy.asked += 1
        body = b'{"callbacks": [], "next_cursor": null}'
        self.send_response(200 if Busy.asked > 2 else 503 if Busy.asked > 1 else 429)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_who_has_no_time_is_asked_again(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ended = Terminal(values(tmp_path), f"http://127.0.0.1:{server.server_port}").run("callbacks", "export")
        server.shutdown()
    assert (ended.returncode, Busy.asked) == (0, 3)
    assert ended.stdout == ",".join(COLUMNS) + "\n"
