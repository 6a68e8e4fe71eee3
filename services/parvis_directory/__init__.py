"""Directory: ministries, agents, teams, sign-in and credentials."""
