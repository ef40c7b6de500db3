"""Errors of a tenant's lifecycle: creating, suspending, exporting, erasing and deleting.

LifecycleError
├── TenantNotConfirmed  the confirmation does not match
├── TenantRefused       not possible for this tenant, by a value or its state; the text says why
└── StillBusy           try later: a worker or ClickHouse still works for the tenant
"""

from __future__ import annotations


class LifecycleError(Exception):
    """Nothing was changed, or repeating the call is safe. The text is for people."""


class TenantNotConfirmed(LifecycleError):
    """The confirmation is not the tenant's slug."""


class TenantRefused(LifecycleError):
    """The request can't be carried out for this tenant."""


class StillBusy(LifecycleError):
    """A worker still holds a lease of the tenant, or ClickHouse is still working for it."""
