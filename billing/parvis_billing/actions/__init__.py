"""What changes something: use is counted, files are taken in, months are run and closed."""

from parvis_billing.actions.cost_imports import CostPlan, keep_costs, plan_costs
from parvis_billing.actions.metering import change_seats, count, forget_seat_states, keep_seat_states, meter_storage, settle_leavers
from parvis_billing.actions.runs import Ran, close, months_to_run, run
from parvis_billing.actions.usage_imports import UsagePlan, keep_usage, plan_usage

__all__ = [
    "CostPlan",
    "Ran",
    "UsagePlan",
    "change_seats",
    "close",
    "count",
    "forget_seat_states",
    "keep_costs",
    "keep_seat_states",
    "keep_usage",
    "meter_storage",
    "months_to_run",
    "plan_costs",
    "plan_usage",
    "run",
    "settle_leavers",
]
