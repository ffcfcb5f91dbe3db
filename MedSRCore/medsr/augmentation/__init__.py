"""The segmentation-augmentation workflow."""
