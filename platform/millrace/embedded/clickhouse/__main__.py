"""Run the embedded ClickHouse: ``python -m millrace.embedded.clickhouse --data DIR --port N …``."""

from __future__ import annotations

import argparse
import hashlib
import ipaddress
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from millrace.embedded.clickhouse import config, tokens
from millrace.embedded.clickhouse.confine import confine
from millrace.embedded.clickhouse.engine import Engine
from millrace.embedded.clickhouse.front import Front
from millrace.embedded.clickhouse.identity import Identities
from millrace.embedded.clickhouse.lock import FolderInUse, FolderLock
from millrace.embedded.clickhouse.server import Server
from millrace.embedded.clickhouse.users import User, Users

log = logging.getLogger("millrace.embedded.clickhouse")

#: Seconds that running queries get to finish after SIGTERM, and then to stop after they are killed.
GRACE, LAST = 8.0, 2.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="millrace.embedded.clickhouse", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument(
        "--port", type=int, required=True, help="the port to listen on; 0 for any free port"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the loopback address to listen on")
    parser.add_argument("--user", default="millrace", help="the administrator's name")
    parser.add_argument(
        "--password-file", type=Path, required=True, help="a file with the administrator's password"
    )
    parser.add_argument(
        "--users", type=Path, help="the file of other users (default: DATA/users.json)"
    )
    arguments = parser.parse_args()
    if not ipaddress.ip_address(arguments.host).is_loopback:
        parser.error(f"--host {arguments.host}: this server listens only on loopback.")
    return arguments


def _admin(arguments: argparse.Namespace) -> User:
    password = arguments.password_file.read_text().strip()
    if not password:
        sys.exit(f"{arguments.password_file} contains no password. Write one line into it.")
    digest = hashlib.sha256(password.encode()).hexdigest()
    return User(name=arguments.user, digest=digest, admin=True)


def _wait_for_signal(each_second: Callable[[], None]) -> None:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    while not stopping.wait(1.0):
        each_second()


def _stop(server: Server, front: Front, engine: Engine) -> None:
    if not server.stop(GRACE):
        front.processes.kill_all()
        server.stop(LAST)
    if not server.busy:
        front.close()
        engine.close()


def main() -> None:
    """Open the folder, serve until SIGTERM or SIGINT, close."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    arguments = _arguments()
    data = arguments.data.resolve()
    scratch = data / "scratch"
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        lock = FolderLock(data)
    except FolderInUse as error:
        sys.exit(str(error))
    users_file = (arguments.users or data / "users.json").resolve()
    users = Users(users_file, _admin(arguments))
    if not confine((data, users_file.parent)):
        log.warning(
            "This kernel has no Landlock, so the engine can open every file of this account"
        )
    identities = Identities(users)
    began = time.monotonic()
    tokens.forget_lost(data / "store")
    engine = Engine(data / "store", config.write(scratch, identities.grants()), scratch)
    front = Front(engine, identities)
    server = Server(arguments.host, arguments.port, front)
    threading.Thread(target=server.serve, name="accept", daemon=True).start()
    log.info(
        "Ready on http://%s:%d after %.1f s",
        *server.address[:2],
        time.monotonic() - began,
    )
    _wait_for_signal(lambda: front.sessions.expire(time.monotonic()))
    log.info("Stopping; %d requests run", server.busy)
    _stop(server, front, engine)
    lock.release()
    log.info("Stopped")
    logging.shutdown()
    # A normal exit would wait for threads that are waiting for a client.
    os._exit(0)


if __name__ == "__main__":
    main()
