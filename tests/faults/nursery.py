"""Starts the service many times, quickly: a process that has imported it, and forks one for each that is asked for.

`python -m tests.faults.nursery` reads a line of JSON for each and answers with the number of the process. What it forks
runs `chaser-callback serve` as the command would, and ends when the nursery ends.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from app.cli.entrypoint import main
from tests.faults.crashing import Crash

_PR_SET_PDEATHSIG = 1
# What the service imports only when it starts. Importing is nearly all of the time that starting takes.
_LATER = (
    "app.main",
    "app.serving",
    "alembic.command",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)


def run() -> None:
    """Fork what standard input asks for, until it ends."""
    for module in _LATER:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system forgets by itself who has ended
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _serve(json.loads(line))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


def _serve(asked: dict[str, Any]) -> NoReturn:
    code: Any = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv = ["chaser-callback", *asked["arguments"]]
        if asked["fate"] is not None:
            Crash(Path(asked["fate"])).install()
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001  # nothing may return into the loop above
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    run()
