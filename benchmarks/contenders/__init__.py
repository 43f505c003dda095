"""Programs that write the same records from the same files: ``python -m … JOB_FOLDER OUT_FOLDER``."""
