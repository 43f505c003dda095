"""recsync: what a person types. The one room that may use every other."""
