"""Trainers that nnU-Net finds by name; see `medsr.transforms.nnunet`."""
