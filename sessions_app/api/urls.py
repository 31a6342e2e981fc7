"""Everything below `/api/v1/`. A trailing slash is accepted everywhere, without a redirect."""

from __future__ import annotations

from django.urls import include, re_path
from rest_framework.routers import SimpleRouter

from sessions_app.api import server_views, views

router = SimpleRouter()
router.trailing_slash = "/?"  # its constructor takes only yes or no
router.register("sessions", views.SessionViewSet, basename="session")
router.register("sessions/(?P<session_id>[^/]+)/messages", views.MessageViewSet, basename="message")
router.register("sessions/(?P<session_id>[^/]+)/stream", views.StreamViewSet, basename="stream")
router.register("sessions/(?P<session_id>[^/]+)/runs", views.RunViewSet, basename="run")
router.register(
    "sessions/(?P<session_id>[^/]+)/approvals", views.ApprovalViewSet, basename="approval"
)
router.register("models", server_views.ModelViewSet, basename="model")
router.register("me", server_views.MeViewSet, basename="me")
router.register("usage", server_views.UsageViewSet, basename="usage")

urlpatterns = [
    re_path("^health/?$", server_views.HealthView.as_view()),
    re_path(
        "^sessions/(?P<session_id>[^/]+)/approvals/(?P<approval_id>[^/]+)/?$",
        views.ApprovalViewSet.as_view({"post": "decide"}),
    ),
    re_path("", include(router.urls)),
]
