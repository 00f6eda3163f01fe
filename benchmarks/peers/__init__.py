"""What convrnn is timed against. Each file makes the peer's version of a layer of ours, with our weights; none knows a clock."""
