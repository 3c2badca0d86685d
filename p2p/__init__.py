"""Moving bytes between strangers. This package sees topics, protocol names and bytes, never what they mean."""
