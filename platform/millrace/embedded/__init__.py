"""Real engines from wheels, for each service whose URL is not set.

``addresses`` says where they listen, ``stack`` runs them under supervisor, and each service has a
module of its own: ``postgres``, ``clickhouse_service``, ``valkey``, ``kafka``, ``rabbitmq``.
"""
