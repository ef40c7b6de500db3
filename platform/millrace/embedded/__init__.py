"""The embedded services: real servers from Python wheels, used if a service's URL is not set.

``service_urls`` says where they listen, ``stack`` runs them under supervisord, and each service has
its own module: ``postgres``, ``clickhouse_process``, ``valkey``, ``kafka``, ``rabbitmq``.
"""
