"""The words that both halves share: where things lie, and the shape of every line that crosses."""
