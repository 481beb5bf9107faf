"""The local runtime: a real PostgreSQL, a real Apache Kafka and every service, without a container engine."""
