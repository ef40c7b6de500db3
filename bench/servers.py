"""Starts and stops web servers: process trees under Granian, with equal numbers of workers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

WORKERS, THREADS = 2, 8


@dataclass(frozen=True)
class Server:
    pid: int
    url: str


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def granian(app: str, interface: str, environment: Mapping[str, str]) -> Iterator[Server]:
    """Run ``app`` under Granian with WORKERS processes; with WSGI, of THREADS threads each."""
    port = free_port()
    arguments = ["granian", f"--interface={interface}", "--host=127.0.0.1", f"--port={port}"]
    arguments += [f"--workers={WORKERS}", "--no-ws", "--log-level=warning", app]
    if interface == "wsgi":
        arguments.insert(-1, f"--blocking-threads={THREADS}")
    with module(arguments, port, {"MILLRACE_WEB_THREADS": str(THREADS), **environment}) as server:
        yield server


@contextmanager
def module(
    arguments: list[str], port: int, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run ``python -m ARGUMENTS``; yields once it answers on ``port``."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], env={**os.environ, **(environment or {})}
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _await(process, url)
        yield Server(process.pid, url)
    finally:
        process.terminate()
        process.wait(30)


def _await(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{url} does not answer")
