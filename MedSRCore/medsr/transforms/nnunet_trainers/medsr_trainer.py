"""Where nnU-Net finds the trainer: it imports the modules of the folder that ``nnUNet_extTrainer`` names.

The folder holds nothing else, because nnU-Net puts it before all others in the search for modules.
"""

from medsr.transforms.nnunet import nnUNetTrainerMedSR

__all__ = ["nnUNetTrainerMedSR"]
