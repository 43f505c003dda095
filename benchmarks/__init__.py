"""How fast, and against whom: data of any size, contenders that write the same records, and what each costs."""
