"""RabbitMQ as Warren talks to it: every question and every publish ends in bounded time."""
