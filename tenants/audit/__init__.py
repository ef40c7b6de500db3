"""Who did what to which object: from the admin, the API and commands.

``record`` writes an entry in the caller's transaction, so that what was rolled back was never
done. Who did it is known by itself within a request and within a ``ChangingCommand``.
"""

from tenants.audit.actor import Actor, acting, current_actor
from tenants.audit.entry import record, record_once

__all__ = ["Actor", "acting", "current_actor", "record", "record_once"]
