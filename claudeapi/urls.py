"""All paths that Django answers; probes, streams and sockets are in `claudeapi.routing`."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView

from claudeapi import views

handler400 = views.bad_request
handler403 = views.permission_denied
handler404 = views.not_found
handler500 = views.server_error

swagger = SpectacularSwaggerView.as_view(url_name="schema")
redoc = SpectacularRedocView.as_view(url_name="schema", template_name="claudeapi/redoc.html")

urlpatterns = [
    path("", views.home),
    # As everywhere in the API, with a slash at the end or without.
    re_path(r"^metrics/?$", views.prometheus),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    re_path(r"^api/schema/?$", views.page(SpectacularAPIView.as_view()), name="schema"),
    re_path(r"^api/docs/?$", views.documentation(swagger), name="docs"),
    re_path(r"^api/redoc/?$", views.documentation(redoc), name="redoc"),
    path("api/v1/", include("sessions_app.api.urls")),
    # The last one, so that unknown paths get the envelope with DEBUG too.
    re_path("", views.not_found),
]
