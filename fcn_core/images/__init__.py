"""Pictures: reading and decoding, web addresses, scales and resizing."""
