"""What changes the directory: each act writes, is audited, and says what happened, in the transaction it is given."""

from parvis_directory.actions.agents import Changes, NewPerson, agent_state, change_agent, create_agent, end_guest, move_agent
from parvis_directory.actions.app_passwords import create_app_password, revoke_app_password, say_revoked
from parvis_directory.actions.consultation import read_audit
from parvis_directory.actions.departures import acknowledge_departure, return_agent, settle_departure
from parvis_directory.actions.ministries import change_ministry, create_directorate, create_ministry
from parvis_directory.actions.sessions import (
    HASHER,
    SignedIn,
    claims_for,
    digest_of,
    end_sessions,
    forget_sessions,
    open_session,
    renew_token,
    set_hashed_password,
    sign_in,
    sign_out,
)
from parvis_directory.actions.signing_keys import rotate_signing_keys
from parvis_directory.actions.teams import change_team, create_team

__all__ = [
    "HASHER",
    "Changes",
    "NewPerson",
    "SignedIn",
    "acknowledge_departure",
    "agent_state",
    "change_agent",
    "change_ministry",
    "change_team",
    "claims_for",
    "create_agent",
    "create_app_password",
    "create_directorate",
    "create_ministry",
    "create_team",
    "digest_of",
    "end_guest",
    "end_sessions",
    "forget_sessions",
    "move_agent",
    "open_session",
    "read_audit",
    "renew_token",
    "return_agent",
    "revoke_app_password",
    "rotate_signing_keys",
    "say_revoked",
    "set_hashed_password",
    "settle_departure",
    "sign_in",
    "sign_out",
]
