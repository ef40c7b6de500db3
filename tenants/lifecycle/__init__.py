"""Exports a tenant's data, erases one person's rows, and deletes a tenant from every store.

Views, admin, commands and tasks call these modules and decide nothing.
"""
