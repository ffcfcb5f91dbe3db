# Empty on purpose.
