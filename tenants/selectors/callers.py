from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from tenants.models import APIKey, TenantStatus
from tenants.recent import Recent
from tenants.rights import Network, network

#: Processes notice a revoked key or a suspended tenant within this many seconds.
MEMORY_SECONDS = 0.5
#: While a key is in use, ``last_used_at`` is at most this old.
USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Caller:
    """The caller of an API endpoint, its tenant and the tenant's warehouse; ``request.user``.

    ``queries`` and ``sources`` are the names that it may use, ``networks`` and ``origins`` the
    places that it may call from; None means no restriction. ``parameters`` are fixed by the key;
    ``filters`` are SQL conditions by table. For a signed token, ``subject`` is the user that it is
    for and ``rate`` the most requests a minute.
    """

    key_id: int
    tenant_id: int
    tenant_slug: str
    is_active: bool
    scopes: frozenset[str]
    expires_at: datetime | None
    database: str
    username: str
    password: str
    queries: frozenset[str] | None = None
    sources: frozenset[str] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    filters: tuple[tuple[str, str], ...] = ()
    networks: tuple[Network, ...] | None = None
    origins: frozenset[str] | None = None
    subject: str = ""
    rate: int | None = None

    is_authenticated = True

    def __repr__(self) -> str:
        return f"Caller(key {self.key_id} of {self.tenant_slug})"

    def may_run(self, query: str) -> bool:
        return self.queries is None or query in self.queries

    def may_use(self, source: str) -> bool:
        return self.sources is None or source in self.sources


@dataclass(frozen=True)
class Holder:
    """A usable key: its caller, and what verifies the signatures of its tokens."""

    caller: Caller
    prefix: str
    algorithm: str
    signing_secret: str = field(repr=False)
    public_key: str
    token_seconds: int


_recent: Recent[bytes | str, Holder | None] = Recent(MEMORY_SECONDS)


def forget() -> None:
    """Drop all remembered keys, for example after a change in this process."""
    _recent.forget()


def is_remembered(sha256: bytes) -> bool:
    """Whether a key with this hash was looked up within MEMORY_SECONDS, with or without success."""
    return sha256 in _recent


def find(sha256: bytes) -> Caller | None:
    """The caller with this key; None if the key is unknown, revoked or expired."""
    holder = _recent.get(sha256, lambda: _look_up(sha256=sha256))
    return holder.caller if holder is not None and _is_unexpired(holder) else None


def find_holder(prefix: str) -> Holder | None:
    """The key with this prefix; None if it is unknown, revoked or expired.

    It is the same object for MEMORY_SECONDS; verified tokens rely on that.
    """
    holder = _recent.get(prefix, lambda: _look_up(prefix=prefix))
    return holder if holder is not None and _is_unexpired(holder) else None


def _is_unexpired(holder: Holder) -> bool:
    ends = holder.caller.expires_at
    return ends is None or ends > timezone.now()


def _look_up(**by: Any) -> Holder | None:
    now = timezone.now()
    key = (
        APIKey.across_tenants.filter(revoked_at=None, **by)
        .select_related("tenant", "tenant__warehouse")
        .first()
    )
    if key is None or not key.is_usable(now):
        return None
    if key.last_used_at is None or key.last_used_at < now - USED_EVERY:
        old = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_EVERY)
        APIKey.across_tenants.filter(old, pk=key.pk).update(last_used_at=now)
    return Holder(
        _caller(key),
        key.prefix,
        key.algorithm,
        key.signing_secret,
        key.public_key,
        key.token_seconds,
    )


def _caller(key: APIKey) -> Caller:
    tenant = key.tenant
    warehouse = getattr(tenant, "warehouse", None)
    return Caller(
        key_id=key.pk,
        tenant_id=tenant.pk,
        tenant_slug=tenant.slug,
        is_active=tenant.status == TenantStatus.ACTIVE,
        scopes=frozenset(key.scopes),
        expires_at=key.expires_at,
        database=warehouse.database if warehouse else "",
        username=warehouse.username if warehouse else "",
        password=warehouse.password if warehouse else "",
        queries=_set(key.queries),
        sources=_set(key.sources),
        parameters=key.parameters,
        filters=tuple(sorted(key.row_filters.items())),
        networks=None if key.networks is None else tuple(map(network, key.networks)),
        origins=_set(key.origins),
    )


def _set(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)
