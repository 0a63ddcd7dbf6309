"""The addresses of the portal."""

from django.urls import include, path

urlpatterns = [path("", include("reports.urls"))]
