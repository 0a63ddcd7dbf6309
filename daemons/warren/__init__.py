"""Warren: a Celery processing queue in production on plain Linux hosts."""
