"""The current actor: the user or key of the current request, a command, or Millrace itself."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.http import HttpRequest, HttpResponse

from tenants.client_address import client_address


class ActorKind(models.TextChoices):
    USER = "user", "Person"
    KEY = "key", "API key"
    COMMAND = "command", "Command"
    SYSTEM = "system", "Millrace itself"


@dataclass(frozen=True)
class Actor:
    """Who did something. ``id`` is the user's or key's id, or ''; ``address`` is the client's."""

    kind: ActorKind
    name: str
    id: str = ""
    address: str | None = None

    @classmethod
    def system(cls) -> Actor:
        return cls(ActorKind.SYSTEM, "millrace")

    @classmethod
    def command(cls, name: str) -> Actor:
        """A command, with the name of the system account that runs it."""
        try:
            account = getpass.getuser()
        except (KeyError, OSError):  # a container's user may have no name
            account = "unknown"
        return cls(ActorKind.COMMAND, f"manage.py {name} ({account})")

    @classmethod
    def of_request(cls, request: HttpRequest) -> Actor:
        """The user who is logged in, or the key of the call."""
        who: Any = getattr(request, "user", None)
        client = client_address(request.META)
        address = None if client is None else str(client)
        key_id = getattr(who, "key_id", None)
        operator = getattr(who, "operator_name", None)
        if operator is not None:
            return cls(
                ActorKind.KEY, f"operator's key {operator}", f"op {who.operator_key}", address
            )
        if key_id is not None:
            return cls(ActorKind.KEY, _key_name(key_id), str(key_id), address)
        if who is not None and who.is_authenticated:
            return cls(ActorKind.USER, who.get_username(), str(who.pk), address)
        return cls(ActorKind.SYSTEM, "nobody", address=address)


def _key_name(key_id: int) -> str:
    from tenants.models import APIKey

    key = APIKey._base_manager.filter(pk=key_id).only("name", "prefix").first()
    return f"{key.name} (mr_{key.prefix}…)" if key else "a deleted key"


@dataclass
class Trail:
    """The current request or command. ``told`` has (action, type, id) of each recorded entry."""

    actor: Callable[[], Actor]
    told: set[tuple[str, str, str]] = field(default_factory=set)


_trail: ContextVar[Trail | None] = ContextVar("audit_trail", default=None)


def current_actor() -> Actor:
    trail = _trail.get()
    return trail.actor() if trail is not None else Actor.system()


def told() -> set[tuple[str, str, str]]:
    """What the current request or command has recorded so far."""
    trail = _trail.get()
    return trail.told if trail is not None else set()


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Within this context, entries are recorded as done by ``actor``."""
    token = _trail.set(Trail(lambda: actor))
    try:
        yield
    finally:
        _trail.reset(token)


class AuditMiddleware:
    """Remembers the request, but finds out its user or key only when something is recorded."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = _trail.set(Trail(lambda: Actor.of_request(request)))
        try:
            return self.get_response(request)
        finally:
            _trail.reset(token)
