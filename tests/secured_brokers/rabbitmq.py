"""One RabbitMQ with a plain and a TLS listener, and rights by user."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kombu
from amqp.exceptions import AMQPError

from millrace.embedded import ports, processes
from millrace.embedded.rabbitmq import RabbitMQ
from secured_brokers.certificates import Authority

#: ``reader`` may read ``orders`` and whatever begins with ``miss``, ``blind`` nothing; ``outsider``
#: may not use the virtual host.
USERS = {"reader": "reader-secret", "blind": "blind-secret", "outsider": "outsider-secret"}
_READS = {"reader": "^(orders|miss.*)$", "blind": "^$", "millrace": ".*"}


class SecuredRabbitMQ:
    """``plain`` and ``secure`` are the addresses of its listeners."""

    def __init__(self, home: Path, authority: Authority) -> None:
        self.authority = authority
        self._component = RabbitMQ(home)
        taken = set(ports.read(home).values())
        self._secure_port = ports.choose(taken)
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def plain(self) -> str:
        return f"127.0.0.1:{self._component.port}"

    @property
    def secure(self) -> str:
        return f"127.0.0.1:{self._secure_port}"

    def start(self) -> None:
        self._component.prepare()
        folder = self._component.folder
        self._configure(folder)
        with (folder / "log.txt").open("wb") as log:
            for program in self._component.programs():
                mark = {processes.MARK: str(self._component.home)}
                environment = {**os.environ, **program.environment, **mark}
                self._running.append(
                    subprocess.Popen(
                        program.command, env=environment, cwd=folder, stdout=log, stderr=log
                    )
                )
        deadline = time.monotonic() + 120
        while not self._serves():
            text = (folder / "log.txt").read_text()[-3000:]
            assert self._running[-1].poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.2)
        self._fill()

    def _serves(self) -> bool:
        try:
            self._component.check()
        except (OSError, AMQPError, kombu.exceptions.OperationalError):
            return False
        return True

    def _configure(self, folder: Path) -> None:
        server = self.authority.server("localhost", "127.0.0.1")
        (folder / "ca.pem").write_text(self.authority.certificate)
        (folder / "server.pem").write_text(server.certificate)
        (folder / "server.key").write_text(server.key)
        (folder / "definitions.json").write_text(json.dumps(self._definitions()))
        (folder / "enabled_plugins").write_text("[rabbitmq_auth_mechanism_ssl].\n")
        with (folder / "rabbitmq.conf").open("a") as file:
            file.write(
                f"listeners.ssl.1 = {self.secure}\n"
                f"ssl_options.cacertfile = {folder}/ca.pem\n"
                f"ssl_options.certfile = {folder}/server.pem\n"
                f"ssl_options.keyfile = {folder}/server.key\n"
                "ssl_options.verify = verify_peer\n"
                "ssl_options.fail_if_no_peer_cert = false\n"
                "ssl_cert_login_from = common_name\n"
                "auth_mechanisms.1 = PLAIN\n"
                "auth_mechanisms.2 = AMQPLAIN\n"
                "auth_mechanisms.3 = EXTERNAL\n"
                f"load_definitions = {folder}/definitions.json\n"
            )

    def _definitions(self) -> dict[str, Any]:
        users = USERS | {"millrace": self._component.password}
        return {
            "vhosts": [{"name": "/"}],
            "users": [
                {
                    "name": name,
                    "password_hash": _hash(password),
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": "",
                }
                for name, password in users.items()
            ],
            "permissions": [
                {"user": user, "vhost": "/", "read": read, "write": all_, "configure": all_}
                for user, read in _READS.items()
                for all_ in [".*" if user == "millrace" else "^$"]
            ],
        }

    def _fill(self) -> None:
        with self.link() as link:
            channel: Any = link.channel()
            for name in ("orders", "secret"):
                channel.queue_declare(name, durable=True, auto_delete=False)

    def link(self) -> kombu.Connection:
        """As whom may do all."""
        return kombu.Connection(self._component.urls["RABBITMQ_URL"])

    def send(self, messages: Sequence[bytes]) -> None:
        """To ``orders``, which nobody else reads then."""
        with self.link() as link, kombu.Producer(link) as producer:
            producer.channel.queue_purge("orders")
            for message in messages:
                producer.publish(
                    message,
                    routing_key="orders",
                    content_type="application/json",
                    content_encoding="utf-8",
                )

    def stop(self) -> None:
        for process in reversed(self._running):
            process.kill()
            process.wait()


def _hash(password: str) -> str:
    """As RabbitMQ keeps it: https://www.rabbitmq.com/docs/passwords#computing-password-hash."""
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
