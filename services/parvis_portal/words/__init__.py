"""What pages say: each thing once in French and once in English, side by side, so that neither can be forgotten."""

from collections.abc import Mapping

from parvis_portal.words import agenda, common, costs, devices, files, health, onboarding

Words = Mapping[str, tuple[str, str]]
WORDS: Words = common.WORDS | files.WORDS | costs.WORDS | devices.WORDS | onboarding.WORDS | health.WORDS | agenda.WORDS
"""Key → French, English; `{name}` stands for what a page puts in."""
