"""De-identification of DICOM objects by the basic profile of PS3.15 Annex E, with a proof."""
