"""Lambda handlers, thin over functions that take a Storage and a Queue, so that a laptop runs the same code."""
