"""Answers that change nothing, by subject; what is protected asks who you are."""
