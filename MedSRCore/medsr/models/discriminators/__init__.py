"""Networks that tell generated images from true ones, one family per file.

All take the fine image ``(B, C, *size)`` and give logits, no probabilities: one per image, patch or voxel. A positive
logit means "true". `size_multiple` says what every side of the image must be a multiple of.
"""
