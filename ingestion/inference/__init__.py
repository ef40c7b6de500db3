"""Proposes a table from a sample of messages, and proves by the table's own typing that it fits.

``sample`` has up to 1,000 messages, and ``sampled_fields`` finds the fields of their objects.
``type_choice`` says which types a field's values suggest, the closest first. ``proposal`` makes
columns and keys of them, and has the messages typed by them until all objects fit.
"""
