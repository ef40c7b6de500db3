"""A tenant from its making to its deletion: suspend, resume, export, erase, delete.

Views, admin, commands and tasks call these modules and decide nothing.
"""
