"""Identifies the user of a request, and says what that user may do in the engine."""

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

#: Names that can be written in the engine's configuration without escaping.
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
            raise refuse(
                516, "Invalid authentication: the Basic credentials can't be decoded."
            ) from None
        user, _, password = text.partition(":")
        return user, password
    if scheme:
        raise refuse(516, "Invalid authentication: this server knows only the scheme Basic.")
    return parameters.transport.get("user", "default"), parameters.transport.get("password", "")


class Identities:
    """The users, and the roles that the engine read when it started."""

    def __init__(self, users: Users) -> None:
        self.users = users
        self._known = {
            user.name: user.databases
            for user in users.all()
            if user.databases and all(map(_PLAIN.match, (user.name, *user.databases)))
        }

    def grants(self) -> Mapping[str, frozenset[str]]:
        """The databases of each user that gets a role in the engine's configuration."""
        return self._known

    def authenticate(self, request: Request, parameters: Parameters) -> User:
        """The user who sends a request; raises EngineError 516."""
        return self.users.authenticate(*_credentials(request, parameters))

    def _enforced(self, user: User) -> bool:
        """Whether the user has a role in the engine that names exactly the user's databases."""
        return bool(user.databases) and self._known.get(user.name) == user.databases

    def _role(self, user: User) -> str:
        if not user.databases:
            return config.NOBODY_ROLE
        return config.role_of(user.name) if self._enforced(user) else config.LATECOMER_ROLE

    def rules(self, user: User) -> Rules:
        """What the user's statements may name."""
        return Rules(databases=user.databases, catalogue=self._enforced(user))

    def profile(self, user: User, parameters: Parameters, readonly: int) -> Profile:
        """The profile of a connection for this request; raises EngineError (164, 452, 497)."""
        settings = dict(parameters.settings)
        asked = settings.pop("readonly", "")
        readonly = int(asked) if asked in ("1", "2") else readonly
        database = parameters.transport.get("database") or user.database or "default"
        if user.admin:
            return Profile(config.ADMIN_ROLE, database, tuple(sorted(settings.items())), readonly)
        access.check_settings(user, {**settings, **parameters.front})
        if database not in user.databases and database != "default":
            raise refuse(497, f"Not enough privileges to use the database {database}.")
        own = {name: s.value for name, s in user.settings.items() if s.value is not None}
        own.pop("readonly", None)
        own.pop(MOST_AT_ONCE, None)
        return Profile(self._role(user), database, tuple(sorted({**own, **settings}.items())), 1)
