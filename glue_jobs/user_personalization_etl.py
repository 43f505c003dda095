"""The Glue job for user_personalization: each user's own recommendations."""

import sys

from glue_jobs.glue import main

if __name__ == "__main__":
    # Glue takes any SystemExit for a failure, so success just ends.
    if exit_code := main("user_personalization", sys.argv):
        sys.exit(exit_code)
