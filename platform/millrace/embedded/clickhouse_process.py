"""Runs the embedded ClickHouse, ``millrace.embedded.clickhouse``, as a process of the stack."""

from __future__ import annotations

import sys
import urllib.request

from millrace.embedded import files, service_urls
from millrace.embedded.component import Component, NotReady, Program


class ClickHouse(Component):
    """The process of the embedded ClickHouse, the only one that opens the data folder."""

    name = "clickhouse"
    ports = ("clickhouse",)

    def prepare(self) -> None:
        """Write the password file that the server reads."""
        super().prepare()
        files.write_text(self.folder / "password", self.password + "\n")

    def programs(self) -> tuple[Program, ...]:
        """The server."""
        command = (
            sys.executable,
            "-m",
            "millrace.embedded.clickhouse",
            f"--data={self.folder / 'data'}",
            f"--host={service_urls.HOST}",
            f"--port={self.port}",
            "--user=millrace",
            f"--password-file={self.folder / 'password'}",
        )
        return (Program("clickhouse", command, self.folder, stop_seconds=20),)

    def check(self) -> None:
        """Raise NotReady or OSError unless /ping answers 200."""
        address = f"http://{service_urls.HOST}:{self.port}/ping"
        with urllib.request.urlopen(address, timeout=2) as answer:
            if answer.status != 200:
                raise NotReady(f"{address} answered {answer.status}")
