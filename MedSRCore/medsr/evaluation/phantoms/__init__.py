"""A test bench of digital phantoms: what was kept, what was lost, and what was invented, where the truth is known."""
