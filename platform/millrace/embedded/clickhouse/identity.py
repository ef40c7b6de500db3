"""Who sends a request, and what the engine lets that user do."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from millrace.embedded.clickhouse import access, config
from millrace.embedded.clickhouse.errors import refuse
from millrace.embedded.clickhouse.guard import Rules
from millrace.embedded.clickhouse.parameters import MOST_AT_ONCE, Parameters
from millrace.embedded.clickhouse.pool import Profile
from millrace.embedded.clickhouse.request import Request
from millrace.embedded.clickhouse.users import User, Users

#: Names that the engine's configuration can hold as they are.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _credentials(request: Request, parameters: Parameters) -> tuple[str, str]:
    name = request.header("x-clickhouse-user")
    if name:
        return name, request.header("x-clickhouse-key")
    scheme, _, value = request.header("authorization").partition(" ")
    if scheme.lower() == "basic":
        try:
            text = base64.b64decode(value, validate=True).decode("utf-8", "surrogateescape")
        except (binascii.Error, ValueError):
            raise refuse(516, "Invalid authentication: the Basic credentials are broken.") from None
        user, _, password = text.partition(":")
        return user, password
    if scheme:
        raise refuse(516, "Invalid authentication: only Basic is known here.")
    return parameters.transport.get("user", "default"), parameters.transport.get("password", "")


class Identities:
    """Users, and the roles that the engine read when it was started."""

    def __init__(self, users: Users) -> None:
        self.users = users
        self._known = {
            user.name: user.databases
            for user in users.all()
            if user.databases and all(map(_PLAIN.match, (user.name, *user.databases)))
        }

    def grants(self) -> Mapping[str, frozenset[str]]:
        """The databases of each user that the engine's roles must name."""
        return self._known

    def authenticate(self, request: Request, parameters: Parameters) -> User:
        """The user that sends a request; raises EngineError 516."""
        return self.users.authenticate(*_credentials(request, parameters))

    def _enforced(self, user: User) -> bool:
        """Whether the engine itself knows exactly what this user may read."""
        return bool(user.databases) and self._known.get(user.name) == user.databases

    def _role(self, user: User) -> str:
        if not user.databases:
            return config.NOBODY_ROLE
        return config.role_of(user.name) if self._enforced(user) else config.LATECOMER_ROLE

    def rules(self, user: User) -> Rules:
        """What the user's statements may name."""
        return Rules(databases=user.databases, catalogue=self._enforced(user))

    def profile(self, user: User, parameters: Parameters, readonly: int) -> Profile:
        """How a connection for this request is set; raises EngineError (164, 452, 497)."""
        wanted = dict(parameters.settings)
        asked = wanted.pop("readonly", "")
        readonly = int(asked) if asked in ("1", "2") else readonly
        database = parameters.transport.get("database") or user.database or "default"
        if user.admin:
            return Profile(config.ADMIN_ROLE, database, tuple(sorted(wanted.items())), readonly)
        access.check_settings(user, {**wanted, **parameters.front})
        if database not in user.databases and database != "default":
            raise refuse(497, f"Not enough privileges to use the database {database}.")
        own = {name: s.value for name, s in user.settings.items() if s.value is not None}
        own.pop("readonly", None)
        own.pop(MOST_AT_ONCE, None)
        return Profile(self._role(user), database, tuple(sorted({**own, **wanted}.items())), 1)
