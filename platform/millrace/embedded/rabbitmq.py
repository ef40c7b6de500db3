"""The embedded RabbitMQ: a private instance of Debian's ``rabbitmq-server``, as no wheel has it."""

from __future__ import annotations

import shutil
from pathlib import Path

from kombu import Connection

from millrace.embedded import files, ports, service_urls
from millrace.embedded.component import Component, Program, connect

#: Not the wrapper in /usr/sbin, which switches to a system user.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
HOW_TO_GET_IT = "apt-get install --no-install-recommends rabbitmq-server"

# At the first start RabbitMQ creates default_user instead of guest.
_CONFIG = """\
listeners.tcp.1 = {host}:{port}
default_user = millrace
default_pass = {password}
loopback_users = none
disk_free_limit.absolute = 200MB
vm_memory_high_watermark.absolute = 512MB
log.console = true
log.console.level = warning
log.file = false
"""


class RabbitMQ(Component):
    """A node on loopback with its own epmd, so that it neither meets nor disturbs other nodes."""

    name = "rabbitmq"
    ports = ("rabbitmq", "rabbitmq_distribution", "epmd")

    def why_unavailable(self) -> str | None:
        """Why it can't run here: RabbitMQ is not installed, or can't use the folder's path."""
        if not (SERVER.exists() and shutil.which("epmd")):
            return f"RabbitMQ is not installed. As root, install it with: {HOW_TO_GET_IT}"
        # It passes its paths to a shell and to Erlang's parser, in quotation marks.
        if any(mark in str(self.folder) for mark in "'\"\\"):
            return (
                f"RabbitMQ can't start in {self.folder}, because the path contains a quotation "
                "mark or a backslash. Use another folder, or set MILLRACE_HOME to one."
            )
        return None

    def prepare(self) -> None:
        """Write the configuration."""
        super().prepare()
        text = _CONFIG.format(host=service_urls.HOST, port=self.port, password=self.password)
        files.write_text(self.folder / "rabbitmq.conf", text)
        files.write_text(self.folder / "enabled_plugins", "[].\n")

    def programs(self) -> tuple[Program, ...]:
        """Erlang's port mapper, then the broker."""
        number = ports.read(self.home)
        epmd = {"ERL_EPMD_PORT": str(number["epmd"]), "ERL_EPMD_ADDRESS": service_urls.HOST}
        return (
            Program("epmd", ("epmd",), self.folder, epmd, stop_seconds=5),
            Program(
                "rabbitmq",
                (str(SERVER),),
                self.folder,
                epmd | self._environment(number),
                stop_seconds=30,
            ),
        )

    def _environment(self, number: dict[str, int]) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": "millrace@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": service_urls.HOST,
            "RABBITMQ_DIST_PORT": str(number["rabbitmq_distribution"]),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +S 2:2"
            ),
            # Makes the script exec the node, so that the process that supervisord started and
            # signals is the node itself.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def check(self) -> None:
        """Raise OSError or kombu's error unless Millrace's user can log in."""
        connect(self.port)
        with Connection(self.urls["RABBITMQ_URL"], connect_timeout=2) as connection:
            connection.connect()
