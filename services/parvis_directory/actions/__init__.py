"""What changes the directory: each act writes, is audited, and says what happened, in the transaction it is given."""

from parvis_directory.actions.agents import Changes, NewPerson, agent_state, change_agent, create_agent, end_guest, move_agent
from parvis_directory.actions.app_passwords import create_app_password, revoke_app_password, revoke_forbidden, say_revoked
from parvis_directory.actions.consultation import read_audit
from parvis_directory.actions.departures import acknowledge_departure, return_agent, settle_departure
from parvis_directory.actions.domains import claim_domain, recheck_domain, release_domain, verify_domain
from parvis_directory.actions.ministries import change_ministry, create_directorate, create_ministry
from parvis_directory.actions.moves import cancel_move, carry_move_out, plan_move
from parvis_directory.actions.onboarding_plans import (
    Plan,
    confirm_onboarding,
    digest_of_file,
    discard_onboarding,
    forget_onboardings,
    keep_plan,
    plan_onboarding,
)
from parvis_directory.actions.onboarding_runs import advance_onboarding, run_onboardings
from parvis_directory.actions.restored import say_again
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
from parvis_directory.actions.transfers import begin_transfer, cancel_transfer, continue_transfer, plan_transfer

__all__ = [
    "Changes",
    "HASHER",
    "NewPerson",
    "Plan",
    "SignedIn",
    "acknowledge_departure",
    "advance_onboarding",
    "agent_state",
    "begin_transfer",
    "cancel_move",
    "cancel_transfer",
    "carry_move_out",
    "change_agent",
    "change_ministry",
    "change_team",
    "claim_domain",
    "claims_for",
    "confirm_onboarding",
    "continue_transfer",
    "create_agent",
    "create_app_password",
    "create_directorate",
    "create_ministry",
    "create_team",
    "digest_of",
    "digest_of_file",
    "discard_onboarding",
    "end_guest",
    "end_sessions",
    "forget_onboardings",
    "forget_sessions",
    "keep_plan",
    "move_agent",
    "open_session",
    "plan_move",
    "plan_onboarding",
    "plan_transfer",
    "read_audit",
    "recheck_domain",
    "release_domain",
    "renew_token",
    "return_agent",
    "revoke_app_password",
    "revoke_forbidden",
    "rotate_signing_keys",
    "run_onboardings",
    "say_again",
    "say_revoked",
    "set_hashed_password",
    "settle_departure",
    "sign_in",
    "sign_out",
    "verify_domain",
]
