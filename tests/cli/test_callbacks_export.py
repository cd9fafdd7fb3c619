"""`chaser-callback callbacks list` and `export` with several pages of callbacks."""

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
CONTROLS = ["\x1b[31m", "\x9b31m", "\x9d0;title\x9c", "\x7f", "\u2028", "\u202e", "\u2066", "\u200f", "\u061c", "\b"]
"""Escape sequences in C0 and C1, and characters that delete, break the line or reverse the text."""
TEXT = f"\x1b[31m[red]\x9btab\there{''.join(CONTROLS)}"
PRINT_PEAK_MEMORY = """
import atexit, resource, sys
atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr))
from app.cli.entrypoint import main
main()
"""


def rows() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield callbacks a minute apart, oldest first, each with its attempt."""
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
            "message_on_ring": TEXT,
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
    """A terminal, and a service that has five pages of callbacks."""
    folder = tmp_path_factory.mktemp("full")
    settings = values(folder, keep_personal_data="3650d")
    database = open_database(settings["database_url"])
    migrate(database.writing)
    callback_rows, attempt_rows = zip(*rows(), strict=True)
    with database.writing.begin() as connection:
        connection.execute(insert(callbacks), list(callback_rows))
        connection.execute(insert(attempts), list(attempt_rows))
    database.close()
    with process(folder, settings):
        yield Terminal(settings)


def export_with_peak(full: Terminal, *words: str) -> int:
    """Export in a process of its own and return its peak memory in bytes."""
    command = [sys.executable, "-c", PRINT_PEAK_MEMORY, "callbacks", "export", *words]
    ended = subprocess.run(
        command, cwd=ROOT, env=full.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return int(ended.stderr.splitlines()[-1]) * 1024


def test_the_export_has_every_callback_once_and_needs_no_more_memory_for_five_pages_than_for_one(
    full: Terminal, tmp_path: Path
) -> None:
    peak_one_page = export_with_peak(full, str(tmp_path / "failed.jsonl"), "--status", "failed")
    peak_five_pages = export_with_peak(full, str(tmp_path / "all.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["client_phone"] for line in lines] == [f"7916{number:07}" for number in reversed(range(MANY))]
    assert lines[-1]["attempts"][0]["http_status"] == 404
    assert (tmp_path / "all.jsonl").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.jsonl", "failed.jsonl"]
    more = (tmp_path / "all.jsonl").stat().st_size - (tmp_path / "failed.jsonl").stat().st_size
    assert more > 16_000_000
    assert peak_five_pages - peak_one_page < more / 2


@pytest.mark.parametrize(
    "words",
    [("list", "--limit", "1"), ("export",), ("export", "--format", "jsonl"), ("show",)],
    ids=["list", "csv", "jsonl", "show"],
)
def test_visitors_text_does_not_control_the_terminal(full: Terminal, words: tuple[str, ...]) -> None:
    chosen = ["--to", "2026-10-01T12:01+03:00"]
    if words == ("show",):
        chosen = [full.run("callbacks", "list", *chosen).stdout.partition("\t")[0]]
    code, output = full.run_at_terminal("callbacks", *words, *chosen, columns=400)
    assert code == 0
    for control in CONTROLS:
        assert control not in output
    if words[0] != "list":
        assert "[red]" in output


def test_json_lines_hold_the_text_unchanged_but_no_raw_control_character(full: Terminal) -> None:
    text = full.run("callbacks", "export", "--format", "jsonl", "--to", "2026-10-01T12:01+03:00").stdout
    assert not [control for control in CONTROLS if control in text]
    assert json.loads(text)["message_on_ring"] == TEXT


def test_visitors_text_does_not_become_a_formula_in_csv(full: Terminal) -> None:
    ended = full.run("callbacks", "export", "--to", "2026-10-01T12:01+03:00")
    assert ended.stderr == "1 callbacks written to standard output\n"
    titles, row = list(csv.reader(ended.stdout.split("\n")[:-1]))
    assert tuple(titles) == COLUMNS
    cells = dict(zip(titles, row, strict=True))
    assert cells["referrer"] == f"'{HOSTILE}"
    assert (cells["attempts"], cells["last_outcome"], cells["last_http_status"]) == ("1", "refused", "404")


def test_an_interrupted_export_leaves_no_file_that_looks_complete(full: Terminal, tmp_path: Path) -> None:
    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    file = tmp_path / "all.csv"
    ended = full.run("callbacks", "export", str(file), before=limit_file_size)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == f"FILE: can't write {file}: File too large: choose another place\n"
    assert [path.name for path in tmp_path.iterdir()] == ["all.csv.part"]


def test_progress_is_shown_at_a_terminal(full: Terminal, tmp_path: Path) -> None:
    code, output = full.run_at_terminal("callbacks", "export", str(tmp_path / "all.csv"), TERM="xterm-256color")
    assert code == 0
    assert "000 callbacks" in output
    assert "back to 2026-10-0" in output


@pytest.mark.parametrize("columns", [80, 120])
def test_a_list_at_a_terminal_fits_the_width_and_shows_complete_ids(full: Terminal, columns: int) -> None:
    code, output = full.run_at_terminal(
        "callbacks", "list", "--status", "failed", "--limit", "3", columns=columns, TZ="UTC"
    )
    lines = output.splitlines()
    assert code == 0
    assert max(map(len, lines)) <= columns
    assert len(lines) == 5
    callback_id, day, time, status, number, site = lines[2].split()[:6]
    assert (len(callback_id), status, number, site) == (36, "failed", "79160000999", "shop")
    assert (day, time) == ("10-02" if columns == 80 else "2026-10-02", "01:39")
    assert ("refused_by_chaser" in lines[2]) is (columns == 120)


def test_a_list_behind_a_pipe_has_tab_separated_fields_without_control_characters(full: Terminal) -> None:
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
    assert "message_on_ring\t [31m[red] tab here" in shown  # no escape sequence, no tab


def test_a_day_is_included_completely_and_more_than_a_page_is_listed(full: Terminal) -> None:
    day = full.run("callbacks", "list", "--from", "2026-10-02", "--to", "2026-10-02", "--limit", "9999", TZ="UTC")
    times = [line.split("\t")[1] for line in day.stdout.splitlines()]
    assert len(times) == 24 * 60
    assert (times[0], times[-1]) == ("2026-10-02T23:59:00Z", "2026-10-02T00:00:00Z")


def test_an_invalid_filter_is_refused_in_one_line(full: Terminal) -> None:
    for words in (["--status", "lost"], ["--from", "yesterday"]):
        ended = full.run("callbacks", "list", *words)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
        assert ended.stderr.startswith(words[0])


class Busy(BaseHTTPRequestHandler):
    """Answers 429, then 503, then an empty page."""

    requests = 0

    def do_GET(self) -> None:
        Busy.requests += 1
        body = b'{"callbacks": [], "next_cursor": null}'
        self.send_response(200 if Busy.requests > 2 else 503 if Busy.requests > 1 else 429)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_a_busy_service_is_asked_again(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ended = Terminal(values(tmp_path)).run("callbacks", "export", "--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert (ended.returncode, Busy.requests) == (0, 3)
    assert ended.stdout == ",".join(COLUMNS) + "\n"
