"""The embedded broker: a kombu transport whose queues are directories of this host."""
