"""Who acts: the user or key of the request that is being answered, a command, or Millrace."""

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
    """``id`` is the user's or the key's number, or empty; ``address`` where a request came from."""

    kind: ActorKind
    name: str
    id: str = ""
    address: str | None = None

    @classmethod
    def system(cls) -> Actor:
        return cls(ActorKind.SYSTEM, "millrace")

    @classmethod
    def command(cls, name: str) -> Actor:
        """A command, and the account of the machine that ran it."""
        try:
            account = getpass.getuser()
        except (KeyError, OSError):  # a container's user may have no name
            account = "unknown"
        return cls(ActorKind.COMMAND, f"manage.py {name} ({account})")

    @classmethod
    def of_request(cls, request: HttpRequest) -> Actor:
        """The person logged in, or the key that the call carries."""
        who: Any = getattr(request, "user", None)
        found = client_address(request.META)
        address = None if found is None else str(found)
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
    """What is under way; ``told`` has what was recorded of it, (action, type, id) each."""

    actor: Callable[[], Actor]
    told: set[tuple[str, str, str]] = field(default_factory=set)


_trail: ContextVar[Trail | None] = ContextVar("audit_trail", default=None)


def current_actor() -> Actor:
    trail = _trail.get()
    return trail.actor() if trail is not None else Actor.system()


def told() -> set[tuple[str, str, str]]:
    """What was recorded so far by the request or command under way."""
    trail = _trail.get()
    return trail.told if trail is not None else set()


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Whatever is recorded within was done by ``actor``."""
    token = _trail.set(Trail(lambda: actor))
    try:
        yield
    finally:
        _trail.reset(token)


class AuditMiddleware:
    """Notes the request; who made it is asked only when something is recorded."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = _trail.set(Trail(lambda: Actor.of_request(request)))
        try:
            return self.get_response(request)
        finally:
            _trail.reset(token)
