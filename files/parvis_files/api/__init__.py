"""Files' doors over HTTP, by subject."""

from parvis_files.api import files, items, shares, spaces, uploads

ROUTES = (spaces.ROUTES, items.ROUTES, files.ROUTES, uploads.ROUTES, shares.ROUTES)
