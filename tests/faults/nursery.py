"""A fork server: it has imported the service and forks replicas, which start much faster than new processes.

`python -m tests.faults.nursery` reads a line of JSON for each replica and answers with its pid. A replica runs
`chaser-callback` like the command, and is killed when the fork server ends.
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
from tests.faults.crashing import FailpointListener

_PR_SET_PDEATHSIG = 1
# Modules that the service imports during its start, which takes most of the time of a start.
_PRELOADED = (
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
    """Fork a replica for each line of standard input, until it is closed."""
    for module in _PRELOADED:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children: no zombies
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _serve(json.loads(line))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


def _serve(options: dict[str, Any]) -> NoReturn:
    code: Any = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(options["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(options["environment"])
        sys.argv = ["chaser-callback", *options["arguments"]]
        if options["failpoint"] is not None:
            FailpointListener(Path(options["failpoint"])).install()
        main()
    except SystemExit as error:
        code = error.code
    except BaseException:  # noqa: BLE001  # a child must not return into the loop of the fork server
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    run()
