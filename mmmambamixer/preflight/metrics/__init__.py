"""Whether the metrics of a run get what they need, and give what is asked of them."""
