"""What changes something: one transaction, what is written and what is said."""

from parvis_messaging.actions.accounts import (
    add_filter,
    ensure_bot,
    keep_account,
    put_account_data,
    remove_devices,
    rename_device,
    sign_in,
    sign_out,
)
from parvis_messaging.actions.leavers import forget_account, settle_leaver, welcome_back
from parvis_messaging.actions.medias import upload
from parvis_messaging.actions.rooms import (
    Author,
    NewRoom,
    author_of,
    change_membership,
    create_room,
    forget,
    put_alias,
    put_receipt,
    redact,
    remove_alias,
    rename,
    send,
    set_state,
)

__all__ = [
    "Author",
    "NewRoom",
    "add_filter",
    "author_of",
    "change_membership",
    "create_room",
    "ensure_bot",
    "forget",
    "forget_account",
    "keep_account",
    "put_account_data",
    "put_alias",
    "put_receipt",
    "redact",
    "remove_alias",
    "remove_devices",
    "rename",
    "rename_device",
    "send",
    "set_state",
    "settle_leaver",
    "sign_in",
    "sign_out",
    "upload",
    "welcome_back",
]
