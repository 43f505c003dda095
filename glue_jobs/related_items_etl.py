"""The Glue job for related_items: what other shoppers take along with an item reaches the users who looked at it."""

import sys

from glue_jobs.glue import main

if __name__ == "__main__":
    sys.exit(main("related_items", sys.argv))
