"""Warren: a Celery processing queue in production on plain Linux hosts."""

from importlib.metadata import version

__version__ = version("warren")
