"""How a scanner, or a program, turns a fine image into the coarse one that was measured.

Along each axis the fine image is weighed with a profile and sampled every few voxels. The axes are independent, so an
acquisition is a separable linear operator ``y = (A_z x A_y x A_x) x``, one small matrix per axis. The same matrices
serve simulation, training, deconvolution, evaluation and the comparison with the measured data.

Everything here is numpy; arrays are in ``z, y, x`` order (last axis fastest), axis 0 is z.
"""
