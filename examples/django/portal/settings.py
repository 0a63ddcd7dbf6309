"""Django's settings of the portal."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("PORTAL_DATA", BASE_DIR / "data"))

SECRET_KEY = os.environ.get("PORTAL_SECRET_KEY", "only for a try on your own machine")
DEBUG = os.environ.get("PORTAL_DEBUG", "yes") == "yes"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = ["django.contrib.staticfiles", "reports"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
ROOT_URLCONF = "portal.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "portal.sqlite3"}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
MEDIA_ROOT = DATA_DIR / "reports"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{levelname} {name} {message}", "style": "{"}},
    "handlers": {
        "file": {
            "class": "logging.FileHandler",
            "filename": DATA_DIR / "portal.log",
            "formatter": "plain",
            "delay": True,
        }
    },
    "loggers": {"reports": {"handlers": ["file"], "level": "INFO"}},
}

# Where the tasks went before Warren ran them. Warren's INI files replace it.
CELERY_BROKER_URL = "amqp://guest:guest@localhost//"
CELERY_TASK_ALWAYS_EAGER = False
