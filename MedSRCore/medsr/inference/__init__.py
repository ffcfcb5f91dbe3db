"""From a volume and what is asked of it to the sharper volume."""
