"""A welcome for each agent who joins."""
