"""Many inputs, each super-resolved into a file of one folder."""
