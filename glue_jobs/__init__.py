"""From batch inference to published output. Spark, no HTTP, no Lambda."""
