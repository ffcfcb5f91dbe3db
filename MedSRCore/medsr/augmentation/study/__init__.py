"""Does it help? Segmentation networks trained with and without the copies, and what the difference is."""
