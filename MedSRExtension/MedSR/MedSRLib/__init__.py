"""The parts of the MedSR module: scene and worker without Qt, panel pieces with it."""
