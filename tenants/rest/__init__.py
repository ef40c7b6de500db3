"""What every endpoint of the REST API shares, whichever app it belongs to.

The base class (``endpoint``), authentication (``authentication``), errors as RFC 9457 problem
documents (``problem``) and the list of their codes (``codes``), strict reading of bodies
(``body``), limits, CORS, and what the OpenAPI description says about every address.

The name is that of Django REST framework, whose base classes this package extends. It lives in
``tenants`` because that is the one app that all others may import. The tenants' own endpoints, such
as ``/api/v1/keys``, are in ``tenants.api``.
"""
