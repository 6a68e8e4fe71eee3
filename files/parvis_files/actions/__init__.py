"""What changes files: each act writes, is audited, and says what happened, in the transaction it is given."""

from parvis_files.actions.commits import Terms
from parvis_files.actions.driving import complete_upload, drive_uploads, forget_receipts
from parvis_files.actions.items import change_item, make_folder
from parvis_files.actions.leavers import settle_leaver, welcome_back
from parvis_files.actions.orphans import Inventory, abort_forgotten, compare_blobs, delete_orphans, states, take_inventory
from parvis_files.actions.shares import revoke_share, share_item
from parvis_files.actions.spaces import change_space, create_space, follow_agents, follow_ministry, open_personal_space, renew_changes
from parvis_files.actions.trash import go_on_purging, purge_item, purge_version, restore_item, restore_version, trash_item
from parvis_files.actions.uploads import Opened, Parts, abort_upload, declare_upload, declare_version, open_again, open_upload, sign_parts

__all__ = [
    "Inventory",
    "Opened",
    "Parts",
    "Terms",
    "abort_forgotten",
    "abort_upload",
    "change_item",
    "change_space",
    "compare_blobs",
    "complete_upload",
    "create_space",
    "declare_upload",
    "declare_version",
    "delete_orphans",
    "drive_uploads",
    "follow_agents",
    "follow_ministry",
    "forget_receipts",
    "go_on_purging",
    "make_folder",
    "open_again",
    "open_personal_space",
    "open_upload",
    "purge_item",
    "purge_version",
    "renew_changes",
    "restore_item",
    "restore_version",
    "revoke_share",
    "settle_leaver",
    "share_item",
    "sign_parts",
    "states",
    "take_inventory",
    "trash_item",
    "welcome_back",
]
