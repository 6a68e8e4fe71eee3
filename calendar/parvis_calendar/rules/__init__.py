"""Nouns, checks and arithmetic; pure, so time comes in as an argument."""
