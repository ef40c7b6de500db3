"""What can stand in the way of a tenant's lifecycle.

LifecycleError
├── TenantNotConfirmed  the caller has not typed what was asked for
├── TenantRefused       what was asked makes no sense here; the text says what would
└── StillBusy           try later: something of the tenant's is still at work
"""

from __future__ import annotations


class LifecycleError(Exception):
    """Nothing was done, or what was done is safe to repeat; the text is for people."""


class TenantNotConfirmed(LifecycleError):
    """The confirmation is not the tenant's slug."""


class TenantRefused(LifecycleError):
    """What was asked can't be done to this tenant."""


class StillBusy(LifecycleError):
    """A worker still holds something of the tenant's."""
