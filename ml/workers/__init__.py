"""The three worker roles as programs of their own: solver, verifier and whistleblower, over JSON-RPC."""
