#!/bin/sh
# Creates each service's topic and the watermarks' where they are missing. The number of partitions is final.
set -eu
topics=/opt/kafka/bin/kafka-topics.sh
for service in projects approvals risks reporting projections; do
  "$topics" --bootstrap-server "$GOV_KAFKA_BOOTSTRAP_SERVERS" --create --if-not-exists \
    --topic "gov.$service.events.v1" --partitions 12 --replication-factor "${GOV_KAFKA_REPLICATION:-1}" \
    --config cleanup.policy=delete --config retention.ms=-1
done
"$topics" --bootstrap-server "$GOV_KAFKA_BOOTSTRAP_SERVERS" --create --if-not-exists \
  --topic gov.watermarks.v1 --partitions 1 --replication-factor "${GOV_KAFKA_REPLICATION:-1}" \
  --config cleanup.policy=compact
