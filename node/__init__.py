"""One running node: configuration, keys, blobs, and the pump between the objects of `chain` and the world."""
