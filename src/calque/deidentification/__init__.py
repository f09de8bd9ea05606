"""De-identification of DICOM after the basic profile of PS3.15, annex E; needs the extra `dicom`."""

from calque.deidentification.folder import DeidReport, deidentify
from calque.deidentification.profile import DeidOptions, Retain
from calque.deidentification.pseudonyms import Pseudonyms, read_salt

__all__ = ["DeidOptions", "DeidReport", "Pseudonyms", "Retain", "deidentify", "read_salt"]
