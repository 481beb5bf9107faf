"""Gatehouse's published contracts: every domain event, once, as the ledger keeps it and Kafka carries it."""
