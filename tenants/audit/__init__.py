"""The audit log: who did what to which object, in the admin, over the API and by commands.

``record`` writes an entry in the caller's transaction, so a rollback removes it, too. Within a
request or a ``ChangingCommand`` it finds the actor by itself.
"""

from tenants.audit.actor import Actor, acting, current_actor
from tenants.audit.entry import record, record_once

__all__ = ["Actor", "acting", "current_actor", "record", "record_once"]
