"""The commands of recsync: what is typed, what is printed, and the exit code. The work is done elsewhere."""
