"""The local copy of the directory that each service keeps: agents, teams, ministries, credentials; and who is asking."""
