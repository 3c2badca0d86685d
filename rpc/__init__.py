"""What the world sees of a node: the typed method table, JSON-RPC 2.0 over HTTP, and the blob endpoints."""
