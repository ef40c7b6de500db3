"""Connectors: one folder for each kind of broker, all behind the interface in ``base``.

A new kind: a folder with a ``connector.py`` and a ``reader.py``, one line in ``registry``, its name
in ``ConnectionKind``, and its stream in ``tests/ingestion/connectors/streams.py``, which puts it
under the behaviour suite that every connector passes on its real broker.
"""
