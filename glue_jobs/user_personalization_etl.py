"""The Glue job for user_personalization: each user's own recommendations."""

import sys

from glue_jobs.glue import main

if __name__ == "__main__":
    sys.exit(main("user_personalization", sys.argv))
