"""The pages, by what they are about."""

from parvis_portal.pages import costs, files, home, items, sending, sign_in, static

ROUTES = (static.ROUTES, sign_in.ROUTES, home.ROUTES, files.ROUTES, items.ROUTES, sending.ROUTES, costs.ROUTES)
