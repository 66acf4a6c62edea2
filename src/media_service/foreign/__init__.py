"""Foreign workers: programs of others that take jobs over RabbitMQ. docs/design/dispatch.md."""
