"""The addresses of the reports."""

from django.urls import path

from reports import views

urlpatterns = [
    path("", views.index, name="index"),
    path("reports/<uuid:report_id>/", views.detail, name="detail"),
    path("reports/<uuid:report_id>/state", views.state, name="state"),
    path("reports/<uuid:report_id>/file", views.file, name="file"),
]
