"""Still and animated pictures, TIFF pages and PDF pages."""
