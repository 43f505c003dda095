"""What a destination is. Pure Python: no Spark, no AWS, no files (but for the contract's storage)."""
