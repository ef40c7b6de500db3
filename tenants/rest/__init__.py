"""What every endpoint of the REST API shares, whichever app it belongs to.

The base class (``endpoint``), who calls (``authentication``), errors as RFC 9457 problem documents
(``problem``) and the list of their codes (``codes``), strict reading of bodies (``body``), limits,
CORS, and what holds for every address in the OpenAPI description.

It is named for REST as Django REST framework is, whose base classes it extends. It stands in
``tenants`` because this is the one app that all others may import. The tenants' own endpoints, such
as ``/api/v1/keys``, are in ``tenants.api``.
"""
