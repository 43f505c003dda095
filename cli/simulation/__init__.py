"""The whole system in one process: virtual time, a queue that repeats itself, crashes at any point.

The product's own code runs here, from the decision about each user to the receipt; only Spark, AWS and the
network are played. One seed is one history.
"""
