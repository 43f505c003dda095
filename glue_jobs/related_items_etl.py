"""The Glue job for related_items: what other shoppers take along with an item reaches the users who looked at it."""

import sys

from glue_jobs.glue import main

if __name__ == "__main__":
    # Glue takes any SystemExit for a failure, so success just ends.
    if exit_code := main("related_items", sys.argv):
        sys.exit(exit_code)
