"""The log on Apache Kafka: one topic for each family of facts, CloudEvents in binary mode."""
