"""What functions made of other functions share: `aa_functions.tiled` and `.ensemble`."""
