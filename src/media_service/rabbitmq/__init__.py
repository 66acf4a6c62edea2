"""RabbitMQ. Only this package uses its library."""
