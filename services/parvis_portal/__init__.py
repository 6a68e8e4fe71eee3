"""The web client: pages made here, from what the services answer; it keeps nothing."""
