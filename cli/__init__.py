"""recsync: what a person types. The one room that may use every other."""

import os

# Arrow brings NumPy, and that threads for algebra: a tenth of a second at each start, in workers too, for nothing.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
