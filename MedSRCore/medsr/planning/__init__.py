"""What can be decided about a volume before a model is chosen: its target grids, how it was acquired, its noise."""
