"""DICOM: headers, pixels in the standard's order, series, geometry and measurements' units."""
