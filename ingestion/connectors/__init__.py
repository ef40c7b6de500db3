"""Connectors: one folder per kind of broker, all behind the interface in ``base``.

To add a kind: write a folder with ``connector.py`` and ``reader.py``, add a line to ``registry``,
its name to ``ConnectionKind``, and its stream to ``tests/ingestion/connectors/streams.py``. The
last runs the behaviour suite, which every connector passes on its real broker.
"""
