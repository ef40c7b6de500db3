"""Signed tokens, which a tenant's backend issues to its users so that their browsers can query.

A token is a JWT (RFC 7519) that names an API key and is signed with that key's secret (HS256) or
private key (EdDSA). It can only run queries, never more than its key may, and only as its claims
say. A token with a missing, misspelt or unknown claim is refused.

``signing`` handles the keys of signatures, ``claims`` reads claims, ``verify`` verifies tokens.
"""
