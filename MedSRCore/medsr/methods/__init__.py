"""What can enlarge an image: each family in a file of its own, and the order in which ``auto`` asks them."""
