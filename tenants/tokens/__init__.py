"""Signed tokens: what a tenant's own backend hands its users, so that their browsers may ask.

A token is a JWT (RFC 7519) that names an API key and is signed by that key's secret (HS256) or
private key (EdDSA). It runs queries and nothing else, never more than its key, and only with what
its claims name. A claim that is missing, misspelt or not understood denies.

``signing`` has the keys of signatures, ``claims`` what a token says, ``verify`` decides.
"""
