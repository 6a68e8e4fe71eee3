"""Messaging's doors over HTTP: Matrix' client-server API or its application service API, and what the portal asks."""

from parvis_messaging.api import (
    appservice,
    matrix_media,
    matrix_outside,
    matrix_own,
    matrix_rooms,
    matrix_sessions,
    matrix_sync,
    matrix_timeline,
    notices,
)

HERE = (
    matrix_sessions.ROUTES,
    matrix_own.ROUTES,
    matrix_rooms.ROUTES,
    matrix_timeline.ROUTES,
    matrix_sync.ROUTES,
    matrix_media.ROUTES,
    matrix_outside.ROUTES,
    notices.ROUTES,
)
"""When messaging is the homeserver itself."""
ELSEWHERE = (appservice.ROUTES, matrix_outside.ROUTES, notices.ROUTES)
"""When it speaks to another one."""
