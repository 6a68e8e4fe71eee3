"""What changes something: one transaction, what is written and what is said."""

from parvis_messaging.actions.accounts import (
    add_filter,
    ensure_bot,
    keep_account,
    note_session,
    put_account_data,
    remove_devices,
    rename_device,
    sign_in,
    sign_out,
)
from parvis_messaging.actions.bridging import Bridge
from parvis_messaging.actions.inbounds import hear, publish_noted
from parvis_messaging.actions.leavers import forget_account, settle_leaver, welcome_back
from parvis_messaging.actions.links import bring_in, close_team, follow_team, forget_agent, note_departure
from parvis_messaging.actions.loopback import Loopback, renew_positions
from parvis_messaging.actions.medias import upload
from parvis_messaging.actions.notices import (
    mark_all_read,
    mark_read,
    put_preferences,
    tell_answer,
    tell_invitation,
    tell_quota,
    tell_share,
    tell_withdrawal,
    welcome,
)
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
from parvis_messaging.actions.sending import Sender, forget_old, replay_parked
from parvis_messaging.actions.watching import Watch

__all__ = [
    "Author",
    "Bridge",
    "Loopback",
    "NewRoom",
    "Sender",
    "Watch",
    "add_filter",
    "author_of",
    "bring_in",
    "change_membership",
    "close_team",
    "create_room",
    "ensure_bot",
    "follow_team",
    "forget",
    "forget_account",
    "forget_agent",
    "forget_old",
    "hear",
    "keep_account",
    "mark_all_read",
    "mark_read",
    "note_departure",
    "note_session",
    "publish_noted",
    "put_account_data",
    "put_alias",
    "put_preferences",
    "put_receipt",
    "redact",
    "remove_alias",
    "remove_devices",
    "rename",
    "rename_device",
    "renew_positions",
    "replay_parked",
    "send",
    "set_state",
    "settle_leaver",
    "sign_in",
    "sign_out",
    "tell_answer",
    "tell_invitation",
    "tell_quota",
    "tell_share",
    "tell_withdrawal",
    "upload",
    "welcome",
    "welcome_back",
]
