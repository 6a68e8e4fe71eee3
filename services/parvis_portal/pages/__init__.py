"""The pages, by what they are about."""

from parvis_portal.pages import (
    agenda,
    costs,
    devices,
    files,
    health,
    home,
    items,
    leavers,
    meetings,
    moving,
    notices,
    onboarding,
    sending,
    sign_in,
    static,
)

ROUTES = tuple(
    one.ROUTES
    for one in (
        static,
        sign_in,
        home,
        files,
        items,
        moving,
        sending,
        agenda,
        meetings,
        notices,
        devices,
        costs,
        onboarding,
        leavers,
        health,
    )
)
