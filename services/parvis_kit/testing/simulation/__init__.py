"""The relay and the consumer on a virtual clock, against a model of their servers: kills, freezes and lost tails from a seed."""
