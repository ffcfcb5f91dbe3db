"""From a recipe and volumes to weights, and from weights to a bundle."""
