"""Answers that change nothing; each protected thing has one way to it, and that way asks who you are."""

from parvis_files.queries.items import (
    Change,
    Hit,
    changes_for,
    file_for,
    folder_for,
    item_for,
    items_in,
    search_in,
    trash_in,
    version_for,
    versions_for,
)
from parvis_files.queries.shares import SharedItem, share_for, shared_with, shares_for
from parvis_files.queries.spaces import ministry_quota_for, personal_space_of, quota_of, space_for, spaces_for
from parvis_files.queries.uploads import known_parents, upload_for, uploads_for, uploads_under_way_for

__all__ = [
    "Change",
    "Hit",
    "SharedItem",
    "changes_for",
    "file_for",
    "folder_for",
    "item_for",
    "items_in",
    "known_parents",
    "ministry_quota_for",
    "personal_space_of",
    "quota_of",
    "search_in",
    "share_for",
    "shared_with",
    "shares_for",
    "space_for",
    "spaces_for",
    "trash_in",
    "upload_for",
    "uploads_for",
    "uploads_under_way_for",
    "version_for",
    "versions_for",
]
