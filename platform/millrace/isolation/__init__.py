"""Proof that tenants can't see each other, on a running installation.

1. ``planted``: each tenant gets rows, a table, a source and queries that bear a word of its own.
2. ``credentials``: every kind of key there is, good and bad.
3. ``routes``: every endpoint, from Django's own list of them; one that nobody knows how to call is
   a failure, so that a new one can't be forgotten.
4. ``verify``: each is called with each, twice, and no answer may hold another's word, name or
   count; what is another's must be as unknown as what does not exist.
"""
