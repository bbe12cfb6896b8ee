"""Import recordings in many formats into a store."""
