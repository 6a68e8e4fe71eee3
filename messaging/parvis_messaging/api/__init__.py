"""Messaging's doors over HTTP: Matrix' client-server API, and what the portal asks."""

from parvis_messaging.api import matrix_media, matrix_own, matrix_rooms, matrix_sessions, matrix_sync, matrix_timeline, notices

ROUTES = (
    matrix_sessions.ROUTES,
    matrix_own.ROUTES,
    matrix_rooms.ROUTES,
    matrix_timeline.ROUTES,
    matrix_sync.ROUTES,
    matrix_media.ROUTES,
    notices.ROUTES,
)
