"""DICOM: reading a file or a series, what its headers say of the acquisition, and writing a derived series."""
