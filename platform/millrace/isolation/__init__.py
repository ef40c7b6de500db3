"""Proof that tenants can't see each other, on a running installation.

1. ``planted``: gives each tenant rows, a table, a source and queries that contain a unique word.
2. ``credentials``: makes every kind of key, valid and invalid.
3. ``routes``: lists every endpoint, from Django's own URL patterns. An endpoint that the check
   does not know how to call is a failure, so that a new one can't be forgotten.
4. ``leak_check``: calls every endpoint with every credential, twice. No answer may contain another
   tenant's word, name or row count, and another tenant's object must look exactly like one that
   does not exist.
"""
